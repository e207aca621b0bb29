#!/usr/bin/python3
"""Golden images and numbers for the image module, by PIL 9.4 and scipy.

Writes images/* (tiny PNG and JPEG files of every kind), codec.safetensors (their pixels) and image.safetensors
(stretched, rotated and blurred pictures).
"""
import io
import os
import struct
import zlib

import numpy as np
import scipy.ndimage
from PIL import Image, ImageOps

import safetensors_io

FOLDER = os.path.dirname(os.path.abspath(__file__))
IMAGES = os.path.join(FOLDER, "images")
GRAY, RGB, PALETTE, GRAY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6


def texture(height, width, channels, seed):
    """Smooth waves with a little noise, uint8 (height, width, channels)."""
    random = np.random.default_rng(seed)
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(channels), indexing="ij")
    wave = np.sin(0.21 * x + 0.13 * y + 2 * c + seed) + np.cos(0.07 * x - 0.3 * y + c)
    return np.clip(128 + 50 * wave + random.normal(0, 6, wave.shape), 0, 255).astype(np.uint8)


# ---- PNG: written here, as PIL writes neither interlaced files nor all depths ----

def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def pack_rows(samples, depth):
    """samples: (height, width, channels) integers.  Rows as PNG stores them, each with a filter byte (Sub or None)."""
    rows = b""
    for row in samples:
        if depth == 16:
            data = row.astype(">u2").tobytes()
        elif depth == 8:
            data = row.astype(np.uint8).tobytes()
        else:
            bits = "".join(format(int(value), f"0{depth}b") for value in row.reshape(-1))
            bits += "0" * (-len(bits) % 8)
            data = int(bits, 2).to_bytes(len(bits) // 8, "big")
        if depth < 8:
            rows += b"\0" + data
        else:
            pixel = samples.shape[2] * depth // 8
            left = np.frombuffer(b"\0" * pixel + data[:-pixel], np.uint8)
            rows += b"\1" + (np.frombuffer(data, np.uint8) - left).astype(np.uint8).tobytes()
    return rows


def png(samples, color, depth, interlaced=False, palette=None, transparency=None, chunks=b""):
    height, width = samples.shape[:2]
    if interlaced:
        passes = [(0, 8, 0, 8), (0, 8, 4, 8), (4, 8, 0, 4), (0, 4, 2, 4), (2, 4, 0, 2), (0, 2, 1, 2), (1, 2, 0, 1)]
        parts = [samples[y::dy, x::dx] for y, dy, x, dx in passes]
        data = b"".join(pack_rows(part, depth) for part in parts if part.size)
    else:
        data = pack_rows(samples, depth)
    file = b"\x89PNG\r\n\x1a\n"
    file += chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, int(interlaced)))
    if palette is not None:
        file += chunk(b"PLTE", palette.astype(np.uint8).tobytes())
    if transparency is not None:
        file += chunk(b"tRNS", transparency)
    file += chunks + chunk(b"IDAT", zlib.compress(data, 9)) + chunk(b"IEND", b"")
    return file


def make_png(files, pixels):
    """Fills files {name: bytes} and pixels {name: array}."""
    height, width = 21, 26
    rgb = texture(height, width, 3, 1)
    gray = rgb[:, :, :1]
    wide = gray.astype(np.int64) * 257 + np.arange(width)[None, :, None] * 3 % 97 - 48
    wide = np.clip(wide, 0, 65535)
    alpha = texture(height, width, 1, 2)

    for interlaced, suffix in ((False, ""), (True, "_interlaced")):
        for depth in (1, 2, 4):
            top = 2 ** depth - 1
            samples = gray >> (8 - depth)
            name = f"gray{depth}{suffix}.png"
            files[name] = png(samples, GRAY, depth, interlaced)
            pixels[name] = (samples * (255 // top))[:, :, 0]
        for depth in (1, 2, 4, 8):
            palette = texture(1, 2 ** depth, 3, 10 + depth)[0]
            samples = gray >> (8 - depth)
            name = f"palette{depth}{suffix}.png"
            files[name] = png(samples, PALETTE, depth, interlaced, palette, b"\0\x80" if depth > 1 else None)
            pixels[name] = palette[samples[:, :, 0]]
        files[f"gray8{suffix}.png"] = png(gray, GRAY, 8, interlaced)
        pixels[f"gray8{suffix}.png"] = gray[:, :, 0]
        files[f"gray16{suffix}.png"] = png(wide, GRAY, 16, interlaced)
        pixels[f"gray16{suffix}.png"] = wide[:, :, 0].astype(np.int32)
        files[f"rgb8{suffix}.png"] = png(rgb, RGB, 8, interlaced)
        pixels[f"rgb8{suffix}.png"] = rgb
    files["gray8_alpha.png"] = png(np.concatenate([gray, alpha], 2), GRAY_ALPHA, 8)
    pixels["gray8_alpha.png"] = gray[:, :, 0]
    files["gray16_alpha.png"] = png(np.concatenate([wide, alpha * 257], 2), GRAY_ALPHA, 16)
    pixels["gray16_alpha.png"] = wide[:, :, 0].astype(np.int32)
    files["rgb8_alpha.png"] = png(np.concatenate([rgb, alpha], 2), RGB_ALPHA, 8)
    pixels["rgb8_alpha.png"] = rgb
    rgb16 = np.clip(rgb.astype(np.int64) * 257 + wide % 300 - 150, 0, 65535)
    rounded = ((rgb16 * 255 + 32767) // 65535).astype(np.uint8)
    files["rgb16.png"] = png(rgb16, RGB, 16)
    pixels["rgb16.png"] = rounded
    files["rgb16_alpha_interlaced.png"] = png(np.concatenate([rgb16, wide], 2), RGB_ALPHA, 16, True)
    pixels["rgb16_alpha_interlaced.png"] = rounded
    files["gray8_transparent.png"] = png(gray, GRAY, 8, transparency=struct.pack(">H", int(gray[0, 0, 0])))
    pixels["gray8_transparent.png"] = gray[:, :, 0]
    files["rgb8_transparent.png"] = png(rgb, RGB, 8, transparency=struct.pack(">HHH", *rgb[0, 0].tolist()))
    pixels["rgb8_transparent.png"] = rgb
    text = chunk(b"gAMA", struct.pack(">I", 45455)) + chunk(b"tEXt", b"Comment\0a text")
    text += chunk(b"iCCP", b"bad\0\0junk")
    files["rgb8_chunks.png"] = png(rgb, RGB, 8, chunks=text)
    pixels["rgb8_chunks.png"] = rgb
    files["one_pixel.png"] = png(rgb[:1, :1], RGB, 8)
    pixels["one_pixel.png"] = rgb[:1, :1]

    for name in files:  # PIL agrees, except that it cuts 16-bit colours to the high byte
        if name.startswith(("rgb16", "gray16_alpha", "rgb8_chunks")):
            continue
        image = Image.open(io.BytesIO(files[name]))
        mode = "I" if name.startswith("gray16") else "L" if name.startswith("gray") else "RGB"
        assert np.array_equal(np.asarray(image.convert(mode)), pixels[name]), name


# ---- JPEG ----

def jpeg(image, **options):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=85, **options)
    return file.getvalue()


def segment(marker, data):
    return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data


def scans_jpeg(refined):
    """An 8 x 8 gray progressive JPEG with one scan for each coefficient (64), or two (127)."""
    file = b"\xff\xd8" + segment(0xDB, b"\0" + b"\1" * 64)
    file += segment(0xC2, struct.pack(">BHHBBBB", 8, 8, 8, 1, 1, 0x11, 0))
    for table in (0x00, 0x10):  # one symbol, 0, with the one-bit code 0
        file += segment(0xC4, bytes([table, 1]) + b"\0" * 15 + b"\0")
    scans = [(0, 0, 0)] + [(k, 0, int(refined)) for k in range(1, 64)]
    if refined:
        scans += [(k, 1, 0) for k in range(1, 64)]
    for k, high, low in scans:
        file += segment(0xDA, bytes([1, 1, 0, k, k, high << 4 | low])) + b"\x7f"
    return file + b"\xff\xd9"


def make_jpeg(files, pixels):
    rgb = Image.fromarray(texture(24, 37, 3, 5))
    files["rgb.jpg"] = jpeg(rgb, subsampling=0)
    files["rgb_420.jpg"] = jpeg(rgb, subsampling=2)
    files["rgb_progressive.jpg"] = jpeg(rgb, progressive=True)
    files["gray.jpg"] = jpeg(rgb.convert("L"))
    files["gray_progressive.jpg"] = jpeg(rgb.convert("L"), progressive=True)
    files["scans_64.jpg"] = scans_jpeg(False)
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x010F] = "maker"
        exif[0x0112] = orientation
        files[f"exif_{orientation}.jpg"] = jpeg(rgb, exif=exif)
    for name in files:
        if name.endswith(".jpg"):
            pixels[name] = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(files[name]))))
    # Of no pixels to compare: refused.
    files["cmyk.jpg"] = jpeg(rgb.convert("CMYK"))
    files["scans_127.jpg"] = scans_jpeg(True)


# ---- geometry ----

def make_geometry():
    tensors = {}
    # Stretching: 8 bit per channel as PIL does it for pictures, and mode F for a tighter comparison.
    for height, width, size in ((37, 50, 64), (100, 70, 32), (20, 200, 48), (150, 9, 33), (40, 40, 40)):
        name = f"stretch.{height}x{width}to{size}"
        picture = texture(height, width, 3, height + width)
        tensors[name + ".picture"] = picture
        tensors[name + ".rgb"] = np.asarray(Image.fromarray(picture).resize((size, size), Image.BILINEAR))
        green = Image.fromarray(picture[:, :, 1].astype(np.float32))
        tensors[name + ".green"] = np.asarray(green.resize((size, size), Image.BILINEAR))
    # Maps, stretched the other way.
    source = np.random.default_rng(3).random((32, 32), np.float32)
    tensors["map.source"] = source
    for height, width in ((57, 45), (13, 20), (10, 70), (70, 10)):
        resized = Image.fromarray(source).resize((width, height), Image.BILINEAR)
        tensors[f"map.{height}x{width}"] = np.asarray(resized)
    # Rotation: crc32 of the index (y * size + x + 1, 0 outside) of the pixel that each view pixel shows.
    angles = [0, 90, 180, 270, -90, 360, 45, -45, 30, 60, 120, 22.5, 5.625, 33.3, -137.3, 179.999, 1e-9, -1e-9, 720.5,
              211.17, 89.9999999, 299.7, 1000000.3]
    tensors["rotate.angles"] = np.array(angles, np.float64)
    for size in (64, 63, 448):
        index = Image.fromarray(np.arange(1, size * size + 1, dtype=np.int32).reshape(size, size))
        crcs = [zlib.crc32(np.asarray(index.rotate(angle, Image.NEAREST)).tobytes()) for angle in angles]
        tensors[f"rotate.{size}"] = np.array(crcs, np.uint32)
    # Blur.
    blurred = np.random.default_rng(4).normal(0, 1, (19, 37, 3)).astype(np.float32)
    tensors["blur.source"] = blurred
    for sigma in (0.7, 3, 11):
        result = scipy.ndimage.gaussian_filter(blurred.astype(np.float64), (sigma, sigma, 0), truncate=4,
                                               mode="reflect")
        tensors[f"blur.{sigma:g}"] = result.astype(np.float32)
    safetensors_io.save(os.path.join(FOLDER, "image.safetensors"), tensors)


def main():
    files, pixels = {}, {}
    make_png(files, pixels)
    make_jpeg(files, pixels)
    os.makedirs(IMAGES, exist_ok=True)
    for name, data in files.items():
        with open(os.path.join(IMAGES, name), "wb") as file:
            file.write(data)
    safetensors_io.save(os.path.join(FOLDER, "codec.safetensors"), pixels)
    make_geometry()


main()
