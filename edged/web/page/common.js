"use strict";

const HERE = location.origin + location.pathname;  // without credentials, which fetch refuses

const $ = (id) => document.getElementById(id);
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function visible() {
  if (!document.hidden) return Promise.resolve();
  return new Promise((resolve) =>
    document.addEventListener("visibilitychange", resolve, { once: true }));
}

async function ask(path) {
  const answer = await fetch(new URL(path, HERE), { signal: AbortSignal.timeout(5000) })
    .catch((error) => { throw new Error(`no answer (${error.message})`); });
  if (!answer.ok) throw new Error(`the device answered with status ${answer.status}`);
  return answer;
}

function span(seconds) {
  if (seconds < 120) return `${seconds.toFixed(0)} s`;
  return seconds < 7200 ? `${(seconds / 60).toFixed(0)} min` : `${(seconds / 3600).toFixed(0)} h`;
}

function shape(kind, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", kind);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}
