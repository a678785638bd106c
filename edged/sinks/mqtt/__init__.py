"""MQTT, with Home Assistant discovery."""
