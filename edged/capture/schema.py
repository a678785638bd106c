"""The keys of a camera that capture reads: its source and its settings."""

from __future__ import annotations

from typing import Any

from edged.document.parts import FPS, SECRET, key, section

PIXEL_FORMATS = (
    *("MJPG", "JPEG", "YUYV", "YVYU", "UYVY", "NV12", "NV21", "YU12", "YV12"),
    *("GREY", "BGR3", "RGB3"),
)
"""That edged can read, by their V4L2 names."""

SOURCE: dict[str, Any] = {
    "source": key(
        "Source",
        "Where the pictures come from: a device; a URL of an RTSP or MJPEG stream, or of one "
        "JPEG picture, which is fetched repeatedly; a video file; a folder of pictures; "
        "`synthetic` for a generated scene; a CSI (ribbon cable) camera: `csi` on a Jetson, "
        "`picamera2` or `libcamera` on a Raspberry Pi; or `gst:` and a GStreamer pipeline that "
        "ends in raw video. Relative paths start at this file's folder. `${NAME}` is replaced "
        "by that environment variable. A password is never shown.",
        "/dev/v4l/by-id/usb-046d_HD_Pro_Webcam_C920-video-index0",
        "rtsp://user:${DOOR_PASSWORD}@192.168.1.20/stream",
        "http://192.168.1.21/video.mjpg",
        "http://192.168.1.22/snapshot.jpg",
        "picamera2",
        "picamera2:1",
        "libcamera",
        "csi",
        "gst:v4l2src device=/dev/video0 ! jpegdec",
        "clip.mp4",
        "photos/",
        "synthetic",
        "synthetic:640x480@30",
        format="camera-source",
        **SECRET,
    ),
    "source_file": key(
        "Source file",
        "A file whose only line is the source, instead of source. Keeps a password out of this "
        "file and out of the environment.",
        "/etc/edged/door.source",
        "${CREDENTIALS_DIRECTORY}/door",
        format="source-file",
        **SECRET,
    ),
}
SETTINGS: dict[str, Any] = {  # each key is a field of CaptureRequest; VIEW_KEYS of ViewRequest
    "size": key(
        "Picture size",
        "Width x height in pixels to request from the camera; the size it grants is logged. "
        "Without it the camera decides; /dev/… is asked for 640x480, csi and libcamera for "
        "1280x720, picamera2 for its sensor's full field of view.",
        "1280x720",
        "640x480",
        type="string",
        pattern="^[0-9]{2,4}x[0-9]{2,4}$",
        patternErrorMessage="width x height in pixels, such as 1280x720",
        format="picture-size",
    ),
    "fps": key(
        "Frames per second",
        "Frame rate to request from the camera; the rate it grants is logged. Without it the "
        "camera decides; csi, libcamera and picamera2 are asked for 30, a single picture at a "
        "URL is fetched twice a second, and a folder delivers one picture a second.",
        30,
        **FPS,
    ),
    "max_fps": key(
        "Maximum results per second",
        "Frames above this rate are dropped, which saves power and heat; 0.0033 gives a result "
        "every five minutes. Below 1, a compressed stream is decoded only for these results, each "
        "at the next key frame; other frames are decoded only if key frames are rarer. A view that "
        "lacks it has its camera's. Without it every frame is used.",
        15,
        0.0033,
        type="number",
        minimum=0.001,
        maximum=FPS["maximum"],
    ),
    "rotate": key(
        "Rotation (degrees)",
        "Clockwise rotation that turns the picture upright. Applied after the orientation that "
        "the file or stream states (EXIF, display matrix, display orientation) and after "
        "non-square pixels are corrected.",
        180,
        enum=[0, 90, 180, 270],
        default=0,
    ),
    "flip": key(
        "Mirror",
        "horizontal swaps left and right, vertical swaps top and bottom; applied after rotate. "
        "Without it the picture is not mirrored.",
        "horizontal",
        enum=["horizontal", "vertical"],
    ),
    "roi": key(
        "Region of interest",
        "Left, top, width and height of the part of the picture to use, as shares from 0 to 1, "
        "so that they stay valid when the camera's size changes. They refer to the upright "
        "picture, after rotate and flip. The network sees the centre square of this part. "
        "Without it the whole picture is used.",
        [0.5, 0, 0.5, 1],
        [0.25, 0.25, 0.5, 0.5],
        type="array",
        items={"type": "number", "minimum": 0, "maximum": 1, "examples": [0.5]},
        minItems=4,
        maxItems=4,
    ),
    "quiet": key(
        "Skip frames without motion",
        "Frames without motion produce no result. They are counted as dropped (reason quiet), "
        "not as misses. The first frame with motion produces a result at once. Detecting "
        "motion costs some time per frame, so this pays off where most frames show no motion. A "
        "view that lacks it has its camera's. Without it every frame is used.",
        {},
        {"at_least_every_seconds": 10},
        **section(
            [],
            at_least_every_seconds=key(
                "Longest interval between results (seconds)",
                "Without motion, use one frame this often.",
                5,
                type="number",
                exclusiveMinimum=0,
                maximum=3600,
                default=5,
            ),
            hold_seconds=key(
                "Hold (seconds)",
                "How long to keep every frame after motion.",
                2,
                type="number",
                minimum=0,
                maximum=3600,
                default=2,
            ),
            threshold=key(
                "Threshold",
                "Brightness change, out of 255, that counts as motion in one cell of a 24 x 24 "
                "grid. Raise it if the camera's noise is detected as motion.",
                4,
                type="number",
                minimum=0.5,
                maximum=255,
                default=4,
            ),
        ),
    ),
    "loop": key(
        "Loop",
        "Start a video file or folder again at its end.",
        True,
        type="boolean",
        default=False,
    ),
    "decode": key(
        "Video decoder",
        "What decodes H.264 and H.265 of an RTSP stream or a video file. `hardware` is the "
        "device's decoder, through GStreamer: v4l2h264dec on a Raspberry Pi 4, nvv4l2decoder on a "
        "Jetson, vah264dec or vaapih264dec with VA-API. Where none is found, and once it fails, "
        "edged logs that and decodes in software. `auto` is software, until hardware has been "
        "measured on such devices; edged doctor measures what it saves on this one.",
        "hardware",
        enum=["auto", "software", "hardware"],
        default="auto",
    ),
    "confine": key(
        "Confinement",
        "Restrict the camera's process to its source (with Landlock and a system-call filter, "
        "where the kernel supports them), so that a hostile stream cannot reach other files, "
        "processes or passwords. Set it to false if a driver or a GStreamer element needs more "
        "access; the camera's error then names the path that was denied.",
        False,
        type="boolean",
        default=True,
    ),
    "frozen_after_seconds": key(
        "Frozen after (seconds)",
        "Restart the camera if it repeats the same picture for this long, as a hung camera "
        "may. Set it longer than the stream's key frame interval, for example 10. Do not set "
        "it for a source without noise, such as a test picture, a short loop or a covered "
        "lens: it looks frozen. Without it repeated pictures are accepted.",
        10,
        type="number",
        minimum=1,
        maximum=86_400,
    ),
    "stalled_after_seconds": key(
        "Stalled after (seconds)",
        "Restart the camera's process if it sends nothing for this long. Set it for a camera "
        "that pauses longer, or takes longer to answer, than the built-in limit allows. "
        "Without it the limit follows the frame rate: ten times the usual interval and three "
        "times the longest recent one, at least 2 seconds, and 30 seconds until the rate is "
        "known.",
        60,
        type="number",
        minimum=1,
        maximum=86_400,
    ),
    "format": key(
        "Pixel format",
        "Pixel format to request from a V4L2 camera (/dev/…), as a four-character code. "
        "Without it MJPG for large pictures, and an uncompressed format if it needs less than "
        "10 MB/s or if there is no MJPG.",
        "YUYV",
        enum=list(PIXEL_FORMATS),
    ),
    "controls": key(
        "Camera controls",
        "Controls to set on a V4L2 camera (/dev/…), by the names that `edged cameras` lists. A "
        "menu takes the number or the name of an item. Controls that the camera refuses are "
        "logged. Without it the controls keep their current values.",
        {"auto_exposure": "Manual Mode", "exposure_time_absolute": 100, "gain": 4},
        type="object",
        propertyNames={
            "pattern": "^[a-z0-9_]+$",
            "patternErrorMessage": "lower-case letters, digits and _, as edged cameras prints it",
        },
        additionalProperties=key(
            "Value",
            "An integer, true or false, or the name of a menu item. Without it the control is "
            "not set.",
            100,
            "Manual Mode",
            type=["integer", "boolean", "string"],
        ),
    ),
}
VIEW_KEYS = ("roi", "max_fps", "quiet")
"""Those that a view may have as well."""
