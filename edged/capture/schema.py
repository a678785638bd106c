"""What a camera is asked for: its source, and how it is set.

Each key of WISHES is a field of CaptureRequest.
"""

from __future__ import annotations

from typing import Any

from edged.document.parts import FPS, SECRET, key, section

PIXEL_FORMATS = (
    *("MJPG", "JPEG", "YUYV", "YVYU", "UYVY", "NV12", "NV21", "YU12", "YV12"),
    *("GREY", "BGR3", "RGB3"),
)
"""Those of V4L2 that can be read, by its names."""

SOURCE: dict[str, Any] = {
    "source": key(
        "Source",
        "Where the pictures come from: a device, a URL (of an RTSP or MJPEG stream, or of a single "
        "JPEG picture that is fetched again and again), a video file, a folder of pictures, or "
        "`synthetic` for a drawn scene; a camera on a ribbon cable: `csi` on a Jetson, `picamera2` "
        "or `libcamera` on a Raspberry Pi; `gst:` with a GStreamer pipeline up to raw video. A "
        "relative path starts at this file's folder. `${NAME}` becomes the variable of that name; "
        "a password is never shown.",
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
        "Instead of source: a file whose one line is the source, so that a password stands "
        "neither here nor in the environment.",
        "/etc/edged/door.source",
        "${CREDENTIALS_DIRECTORY}/door",
        format="source-file",
        **SECRET,
    ),
}
WISHES: dict[str, Any] = {
    "size": key(
        "Picture size",
        "Width x height in pixels that the camera is asked for; what it grants is logged. Without "
        "it the camera decides; /dev/… is asked for 640x480, csi and libcamera for 1280x720, "
        "picamera2 for the whole field of its sensor.",
        "1280x720",
        "640x480",
        type="string",
        pattern="^[0-9]{2,4}x[0-9]{2,4}$",
        patternErrorMessage="width x height in pixels, such as 1280x720",
        format="picture-size",
    ),
    "fps": key(
        "Frames per second",
        "The rate that the camera is asked for; what it grants is logged. Without it the camera "
        "decides; csi, libcamera and picamera2 are asked for 30, single pictures at a URL are "
        "fetched twice a second, those of a folder come once a second.",
        30,
        **FPS,
    ),
    "max_fps": key(
        "Results per second at most",
        "Frames beyond it are left out, so that a small board need not run hot. Without it every "
        "frame counts.",
        15,
        **FPS,
    ),
    "rotate": key(
        "Rotation (degrees)",
        "Clockwise, so that the picture stands upright. What the file or stream says itself (EXIF, "
        "display matrix, display orientation) is done before; so are pixels that are not square.",
        180,
        enum=[0, 90, 180, 270],
        default=0,
    ),
    "flip": key(
        "Mirror",
        "horizontal exchanges left and right, vertical top and bottom, after the rotation. Without "
        "it nothing is mirrored.",
        "horizontal",
        enum=["horizontal", "vertical"],
    ),
    "roi": key(
        "Region of interest",
        "Left, top, width and height of the part of the picture that counts, as shares of it, 0 to "
        "1: they stay right when the camera's size changes. Of the picture as it stands upright, "
        "after rotate and flip. Of this part networks see the centre square, as otherwise of the "
        "whole picture. Without it the whole picture counts.",
        [0.5, 0, 0.5, 1],
        [0.25, 0.25, 0.5, 0.5],
        type="array",
        items={"type": "number", "minimum": 0, "maximum": 1, "examples": [0.5]},
        minItems=4,
        maxItems=4,
    ),
    "quiet": key(
        "Quiet mode",
        "While nothing moves, frames become no results: they are counted as dropped (quiet), and "
        "are no misses. The first one in which something moves does at once. It pays where nothing "
        "moves most of the time: to look for motion takes some time for every frame. Without it "
        "every frame counts.",
        {},
        {"at_least_every_seconds": 10},
        **section(
            [],
            at_least_every_seconds=key(
                "At least every (seconds)",
                "So often a frame becomes a result, though nothing moves.",
                5,
                type="number",
                exclusiveMinimum=0,
                maximum=3600,
                default=5,
            ),
            hold_seconds=key(
                "Hold (seconds)",
                "So long every frame counts, after something has moved.",
                2,
                type="number",
                minimum=0,
                maximum=3600,
                default=2,
            ),
            threshold=key(
                "Threshold",
                "By how much the brightness of a 24th of the picture's width and height must "
                "change to count as motion, of 255; more where the camera's noise is stronger.",
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
        "A video file or folder begins again at its end.",
        True,
        type="boolean",
        default=False,
    ),
    "confine": key(
        "Confinement",
        "The camera's process can reach nothing but its source (with Landlock and a filter of "
        "system calls, where the kernel has them): no other file, process or password, whatever a "
        "hostile stream makes of it. false lifts this, where a driver or a GStreamer element needs "
        "more; the camera's error then names the path that it was kept from.",
        False,
        type="boolean",
        default=True,
    ),
    "frozen_after_seconds": key(
        "Frozen after (seconds)",
        "A camera that hangs may go on sending the same picture. After this time without a new one "
        "it is started anew. It must be longer than the stream's distance of key frames, such as "
        "10. Without it every picture counts as live: one without any noise, such as a test "
        "picture, a short loop or a covered lens, cannot be told from a frozen one.",
        10,
        type="number",
        minimum=1,
        maximum=86_400,
    ),
    "stalled_after_seconds": key(
        "Stalled after (seconds)",
        "How long a camera may send nothing before its process is started anew. Without it this "
        "follows how its pictures come: ten times their usual distance and three times the longest "
        "one of late, at least 2 seconds; 30 seconds until that is known. For a camera with longer "
        "pauses than that, or one that takes longer to answer.",
        60,
        type="number",
        minimum=1,
        maximum=86_400,
    ),
    "format": key(
        "Pixel format",
        "What a V4L2 camera (/dev/…) is asked for, by its four letters. Without it MJPG for large "
        "pictures, and a plain format where it needs less than 10 MB/s or there is no MJPG.",
        "YUYV",
        enum=list(PIXEL_FORMATS),
    ),
    "controls": key(
        "Camera controls",
        "Values that a V4L2 camera (/dev/…) is set to, by the names that `edged cameras` lists; of "
        "a menu the number or the name. What the camera refuses is logged. Without it they stay as "
        "they are.",
        {"auto_exposure": "Manual Mode", "exposure_time_absolute": 100, "gain": 4},
        type="object",
        propertyNames={
            "pattern": "^[a-z0-9_]+$",
            "patternErrorMessage": "lower-case letters, digits and _, as edged cameras prints it",
        },
        additionalProperties=key(
            "Value",
            "A whole number, true or false, or the name that a menu has for it. Without it nothing "
            "is set.",
            100,
            "Manual Mode",
            type=["integer", "boolean", "string"],
        ),
    ),
}
