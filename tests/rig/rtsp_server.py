#!/usr/bin/python3
"""A real RTSP server with a test picture, for the distribution's own Python.

Needs gstreamer1.0-rtsp, gir1.2-gst-rtsp-server-1.0, gstreamer1.0-plugins-{base,good,ugly,bad} and
python3-gi. Serves rtsp://127.0.0.1:PORT/camera and prints `ready` once it listens. While it runs
it obeys lines on standard input: `size 320x240` and `pattern snow` change the picture.
"""

from __future__ import annotations

import argparse
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

ENCODERS = {
    # At constant quality a still picture is the same in each frame. Parameters stand in the stream,
    # as those of a camera that may change its size: before each slice, so that there must be one.
    "h264": "x264enc tune=zerolatency speed-preset=ultrafast pass=quant threads=1 key-int-max={gop}"
    " ! rtph264pay config-interval=-1",
    "h264-bframes": "x264enc bframes=3 b-adapt=false speed-preset=ultrafast pass=quant threads=1"
    " key-int-max={gop} rc-lookahead=0 ! rtph264pay config-interval=-1",
    # Without a key frame but the first: columns are refreshed in turn.
    "h264-refresh": "x264enc tune=zerolatency speed-preset=ultrafast threads=1 key-int-max={gop}"
    " intra-refresh=true ! rtph264pay config-interval=-1",
    "h265": "x265enc tune=zerolatency speed-preset=ultrafast key-int-max={gop} ! rtph265pay",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", required=True)
    parser.add_argument("--codec", choices=ENCODERS, default="h264")
    parser.add_argument("--pattern", default="red", help="of videotestsrc: red, smpte, ball ...")
    parser.add_argument("--size", default="640x360")
    parser.add_argument("--fps", type=int, default=25)
    parser.add_argument("--gop", type=int, default=25, help="frames between key frames")
    parser.add_argument("--clip", help="a bare H.264 or H.265 stream, as it is, instead")
    parser.add_argument("--audio", action="store_true", help="a stream of sound before the video")
    parser.add_argument("--password", help="of the user `viewer`; asks for no login without it")
    options = parser.parse_args()

    Gst.init(None)
    factory = GstRtspServer.RTSPMediaFactory()
    sound = "audiotestsrc is-live=true ! audio/x-raw,rate=8000 ! alawenc ! rtppcmapay name=pay0 "
    before, payloader = (sound, "pay1") if options.audio else ("", "pay0")
    factory.set_launch(
        f"( {before} multifilesrc location={options.clip} loop=true"
        f" caps=video/x-{options.codec},stream-format=byte-stream,framerate={options.fps}/1"
        f" ! {options.codec}parse ! rtp{options.codec}pay config-interval=-1 name={payloader} )"
        if options.clip is not None
        else f"( {before} videotestsrc name=scene is-live=true pattern={options.pattern}"
        f" ! capsfilter name=size caps={caps(options.size, options.fps)}"
        f" ! {ENCODERS[options.codec].format(gop=options.gop)} name={payloader} )"
    )
    factory.set_shared(True)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(options.port)
    if options.password is not None:
        login(server, factory, options.password)
    server.get_mount_points().add_factory("/camera", factory)
    if server.attach(None) == 0:
        raise SystemExit(f"cannot listen on port {options.port}")
    playing: list[Gst.Bin] = []
    factory.connect("media-configure", lambda _, media: playing.append(media.get_element()))
    GLib.io_add_watch(
        sys.stdin,
        GLib.PRIORITY_DEFAULT,
        GLib.IOCondition.IN,
        lambda *_: obey(sys.stdin.readline(), playing[-1], options.fps),
    )
    print("ready", flush=True)  # noqa: T201
    GLib.MainLoop().run()


def caps(size: str, fps: int) -> str:
    width, height = size.split("x")
    return f"video/x-raw,format=I420,width={width},height={height},framerate={fps}/1"


def obey(line: str, pipeline: Gst.Bin, fps: int) -> bool:
    """Carry out a line from standard input; False at its end."""
    order, _, value = line.strip().partition(" ")
    if order == "size":
        size = Gst.Caps.from_string(caps(value, fps))
        pipeline.get_by_name("size").set_property("caps", size)
    elif order == "pattern":
        Gst.util_set_object_arg(pipeline.get_by_name("scene"), "pattern", value)
    return bool(line)


def login(
    server: GstRtspServer.RTSPServer, factory: GstRtspServer.RTSPMediaFactory, password: str
) -> None:
    auth = GstRtspServer.RTSPAuth()
    token = GstRtspServer.RTSPToken()
    token.set_string(GstRtspServer.RTSP_TOKEN_MEDIA_FACTORY_ROLE, "viewer")
    auth.add_basic(GstRtspServer.RTSPAuth.make_basic("viewer", password), token)
    server.set_auth(auth)
    permissions = GstRtspServer.RTSPPermissions()
    permissions.add_role("viewer")
    permissions.add_permission_for_role("viewer", "media.factory.access", True)
    permissions.add_permission_for_role("viewer", "media.factory.construct", True)
    factory.set_permissions(permissions)


if __name__ == "__main__":
    main()
