#!/usr/bin/env python3
"""Judges the frames of a camera, or of a video, with a model; shows where the anomalous ones are.

    python3 camera.py MODEL CAMERA_OR_VIDEO [OVERLAY_FOLDER]

CAMERA_OR_VIDEO: a camera's number, or what OpenCV opens: a file, a pattern such as frames/%03d.png, an address.
"""
import os
import sys

import cv2
import differnet


def main():
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    # OpenCV's frames have their colours in another order, which nothing but this tells.
    detector = differnet.Detector.load(sys.argv[1], channels="bgr", false_alarm_rate=0.01)
    source = sys.argv[2]
    camera = cv2.VideoCapture(int(source) if source.isdigit() else source)
    if not camera.isOpened():
        sys.exit(f"{source}: OpenCV cannot open it")
    number = 0
    while True:
        there, frame = camera.read()
        if not there:
            break
        result, = detector.score(frame)
        print(f"frame {number}: index {result.index:.3f}, {'anomalous' if result.anomalous else 'normal'}", flush=True)
        if result.anomalous and len(sys.argv) == 4:
            found = detector.explain(frame)
            differnet.write_png(found.overlay, os.path.join(sys.argv[3], f"{number:06}.png"))
        number += 1


if __name__ == "__main__":
    main()
