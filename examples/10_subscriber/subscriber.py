"""Watch a running character: print every frame taken, and save the last one."""

import sys

from PIL import Image

from engine_bridge import DEFAULT_FRAMES_ENDPOINT, Subscriber

endpoint = sys.argv[1] if len(sys.argv) > 1 else DEFAULT_FRAMES_ENDPOINT
count = int(sys.argv[2]) if len(sys.argv) > 2 else 60

with Subscriber(endpoint) as subscriber:
    for _ in range(count):
        frame = subscriber.wait(timeout_s=3.0)
        if frame is None:
            sys.exit(f"No frame at {endpoint} within 3 s ({subscriber.state.value}). Start one: bunraku live")
        height, width = frame.pixels.shape[:2]
        print(f"{frame.stream} frame {frame.frame_id}: {width}x{height}, drawn by {frame.provider}")
    Image.fromarray(frame.pixels).save("frame.png")
