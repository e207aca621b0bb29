/* libdifferent: industrial image anomaly detection that learns from good images only.
 *
 * Method: DifferNet (Rudolph, Wandt, Rosenhahn: "Same Same But DifferNet: Semi-Supervised Defect
 * Detection with Normalizing Flows", WACV 2021).  "The paper" below means this one.
 *
 *     image -> N rotated views -> multi-scale CNN features y -> flow z = f(y) -> score -> verdict, heat map
 *
 * Conventions, valid for every function below
 * - A call that can fail returns a dn_status: DN_OK (0) or a negative DN_E_... number.  Comments name the ones
 *   that are particular to a call; DN_E_ARGUMENT (NULL where it is not allowed, a number out of range) and
 *   DN_E_MEMORY can come from nearly all.
 * - Calls take a nullable `dn_error *error` of the caller, filled on failure only; on failure `*out` is NULL, and
 *   arrays of numbers may hold anything.  Calls on a mutable handle (scorer, localizer, trainer, monitor, calibrator)
 *   keep the detail text in that handle: dn_scorer_error() and its siblings.  There is no global error state.
 * - Option structs start with `struct_size` and are filled with defaults by their init macro, for instance
 *   dn_train_options_init(&options).  A NULL option pointer means all defaults.  A struct longer than this
 *   library knows is accepted if the bytes it does not know are all zero (else DN_E_ARGUMENT).
 * - Output structs start with `struct_size` too and are set up by their init macro before the call.
 * - Immutable handles (extractor, flow, model) are reference counted and may be used by any number of
 *   threads at once.  Mutable handles (scorer, localizer, trainer, monitor, calibrator) serve one call at a time: one that
 *   finds another in progress, of another thread or the one whose callback makes it, returns DN_E_STATE, writes nothing
 *   of the handle's (so that dn_scorer_error() and its siblings say so only while the other call lasts) and nothing of
 *   the caller's but a batch's errors.  Freeing a handle must not meet a call on it.
 * - Handles keep a reference to what they were made from: it is fine to unref a model while a scorer uses it.
 * - Pointers passed in are read during the call only, unless a comment says otherwise.
 * - Paths are byte strings passed to the operating system as they are (UTF-8 on any usual system).
 * - Callbacks run on the calling thread only; a non-zero return cancels (DN_E_CANCELLED).  Allocator hooks are
 *   called from any thread.
 * - `threads` of an option struct: 1 .. 256, default 1, the calling thread alone.  Results have the same bits for any
 *   value, on the library's threads and on the host's (dn_runner).
 * - The library never prints, exits, changes process-wide state or touches the network.
 */
#ifndef DIFFERNET_H
#define DIFFERNET_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DN_VERSION_MAJOR 0
#define DN_VERSION_MINOR 1
#define DN_VERSION_PATCH 0

/* Nothing to set, but for the static library on Windows: define DN_STATIC. */
#ifndef DN_API
#if defined(_WIN32) && !defined(DN_STATIC)
#define DN_API __declspec(dllimport)
#else
#define DN_API
#endif
#endif

#if defined(__GNUC__)
#define DN_CHECK_RESULT __attribute__((warn_unused_result))
#else
#define DN_CHECK_RESULT
#endif

/* "major.minor.patch" of the library at run time.  Static string. */
DN_API const char *dn_version(void);

/* ------------------------------------------------------------------------------------------------
 * Status and errors
 */

typedef int32_t dn_status;

#define DN_OK              0
#define DN_E_ARGUMENT    (-1)  /* an argument or option is out of its documented range */
#define DN_E_MEMORY      (-2)  /* an allocation failed */
#define DN_E_IO          (-3)  /* the operating system refused to open, read, write or rename a file */
#define DN_E_FORMAT      (-4)  /* a file is truncated, corrupt or not of the expected format */
#define DN_E_KIND        (-5)  /* a valid file, but of another kind: a model where a backbone is expected, ... */
#define DN_E_VERSION     (-6)  /* a file written by a newer version of this library */
#define DN_E_LIMIT       (-7)  /* a file or image exceeds a limit of the options or of the library */
#define DN_E_UNSUPPORTED (-8)  /* a valid file that uses a feature this library does not handle; a part that this
                                  build leaves out */
#define DN_E_NUMERIC     (-9)  /* NaN or infinity in weights, in the caller's arrays, in a result or in training */
#define DN_E_CANCELLED  (-10)  /* a callback asked to stop; the object stays valid */
#define DN_E_STATE      (-11)  /* the call does not fit the handle's state: training without images, a handle
                                  that another thread uses, ...; a checkpoint that does not fit, an image's file that
                                  changed since it was added */
#define DN_E_THREAD     (-12)  /* a thread could not be started; a dn_runner that broke its contract */

/* Short English name of a status ("out of memory").  Static string; "unknown status" for other numbers. */
DN_API const char *dn_status_string(dn_status status);

typedef struct dn_error {
    dn_status status;
    char message[252]; /* UTF-8, NUL-terminated: what, which file, what to do.  Where a path is too long for it, "..."
                          stands for its middle; the reason is always whole. */
} dn_error;

/* ------------------------------------------------------------------------------------------------
 * Memory, threads
 */

/* Allocator hooks, copied into the handle that gets them; `user` must outlive it and what is made from it (a model's
 * blobs, a trainer's models).  Both functions must be thread-safe.  OpenBLAS, libjpeg and libtiff allocate on their
 * own. */
typedef struct dn_allocator {
    /* `size` > 0 bytes aligned to `alignment` (a power of two, 64 at most), or NULL. */
    void *(*alloc)(size_t alignment, size_t size, void *user);
    void (*free)(void *pointer, void *user); /* `pointer` is never NULL */
    void *user;
} dn_allocator;

/* The host's own threads for a handle's work, in place of threads that the library starts.  Copied into the handle that
 * gets it; `user` must outlive that handle.
 *
 * run: calls job(context, 0), job(context, 1) ... job(context, jobs - 1), each exactly once, on any threads, in any
 * order and as many at a time as it likes, and returns when all have returned.  It is called on the thread that called
 * the library, once for each parallel loop (hundreds in one score, some of them microseconds long) and once at
 * creation, to try it.  jobs: 2 .. the handle's `threads`; with threads = 1 it is never
 * called.  The jobs share the work among themselves: one that begins late finds less to do, so that all of it gets done
 * at the pace of those that run.  A job neither blocks for another one nor calls the host, allocator hooks apart.
 * A runner that leaves a job out, calls one twice or returns too early costs the call it happens in: DN_E_THREAD, no
 * result.  After it has returned, a job must not be called; after the handle is freed, that is undefined. */
typedef void (*dn_job_fn)(void *context, int32_t job);
typedef struct dn_runner {
    void (*run)(dn_job_fn job, void *context, int32_t jobs, void *user); /* must not end by longjmp or an exception */
    void *user;
} dn_runner;

/* Bytes that the library made: a file in memory. */
typedef struct dn_blob dn_blob;
DN_API const void *dn_blob_data(const dn_blob *blob); /* NULL for NULL */
DN_API size_t dn_blob_size(const dn_blob *blob);      /* 0 for NULL */
DN_API void dn_blob_free(dn_blob *blob);              /* NULL is allowed */

/* How weights are stored in a file.  In memory they are always float32. */
#define DN_STORAGE_F32 0
#define DN_STORAGE_F16 1 /* half the size; weights rounded to 11 bits */

/* OpenBLAS keeps one thread count for the whole process, and this library never changes it on its own.
 * Handles with threads > 1 run best with OpenBLAS set to 1.  This is the explicit way to say so; it is
 * openblas_set_num_threads() and concerns every user of OpenBLAS in the process.  threads: 1 .. 1024.  DN_E_UNSUPPORTED
 * if this library was built without OpenBLAS; its thread count is then 0, its kernels "none". */
DN_API DN_CHECK_RESULT dn_status dn_blas_set_threads(int32_t threads);
DN_API int32_t dn_blas_threads(void);         /* OpenBLAS' present thread count */
DN_API const char *dn_blas_corename(void);    /* the kernels OpenBLAS chose, e.g. "SkylakeX".  Static string. */

/* ------------------------------------------------------------------------------------------------
 * Images
 */

#define DN_GRAY8  1
#define DN_GRAY16 2 /* native byte order, 0 .. 65535 */
#define DN_RGB8   3
#define DN_BGR8   4
#define DN_RGBA8  5 /* alpha is ignored */
#define DN_BGRA8  6

/* Pixels of the caller, described, not copied. */
typedef struct dn_pixels {
    const void *pixels; /* first byte of the top row */
    int32_t width;      /* pixels, >= 1 */
    int32_t height;     /* pixels, >= 1 */
    int64_t stride;     /* bytes from one row to the next; at least width * bytes per pixel in size; may be
                           negative (bottom-up buffers: `pixels` is still the top row); 0 means tightly packed */
    int32_t format;     /* DN_GRAY8 ... */
    int32_t reserved;   /* 0 */
} dn_pixels;

/* Smallest width and height accepted for training, scoring and localization. */
#define DN_MIN_SIDE 8

/* A decoded image file.  Immutable; any thread. */
typedef struct dn_image dn_image;

typedef struct dn_image_options {
    uint32_t struct_size;
    uint32_t reserved;
    int64_t max_pixels; /* width x height refused above this (DN_E_LIMIT), before allocating: >= 1, default 64 x 2^20 */
    int64_t max_bytes;  /* size of the encoded file refused above this: >= 1, default 2^30 */
    const dn_allocator *allocator; /* default NULL: malloc */
    int64_t max_memory; /* bytes that decoding may take, for the pixels and whatever the decoder keeps beside them,
                           the encoded file apart; refused above this (DN_E_LIMIT), before allocating: >= 1, or 0, the
                           default: 8 bytes for each of max_pixels and 2^24 more */
} dn_image_options;
DN_API void dn_image_options_init_size(dn_image_options *options, size_t size);
#define dn_image_options_init(options) dn_image_options_init_size((options), sizeof *(options))

/* Decodes an image file.  The kind is told from the bytes, not the name:
 *   PNG    1 to 16 bit, gray, palette, colour, alpha, interlaced
 *   JPEG   baseline, progressive, gray, YCbCr, RGB; not CMYK, lossless, JPEG-LS, or with its height behind it (DNL)
 *   BMP    1 to 32 bits per pixel; not compressed
 *   PNM    PBM, PGM and PPM, as text or binary, values up to 65535
 *   TIFF   the first page; gray, palette and RGB of 1 to 16 bits, in strips or tiles, plain, LZW, deflate, PackBits or
 *          JPEG; where the library was built with libtiff
 * More than 8 bits of gray become DN_GRAY16, other gray DN_GRAY8, everything else DN_RGB8 (alpha dropped, 16-bit colour
 * rounded to 8).  The largest value that the file's format can express is white.  Orientation is applied (EXIF in JPEG
 * and PNG, TIFF's own).
 * Truncated or corrupt input is an error (DN_E_FORMAT) that names the file; nothing is guessed.  Let through is what
 * leaves all pixels as they were meant, though a file should not have it: in a JPEG zeros before a marker, up to
 * three other bytes between the segments before the picture, an unknown JFIF revision or Adobe colour transform; in all
 * formats bytes behind the end.  What loses pixels stays an error, above all other bytes in a JPEG's picture, and a
 * missing end. Errors: DN_E_IO, DN_E_LIMIT (the options' limits; a side of more than 2^20 pixels; a JPEG of more than
 * 100 scans), DN_E_FORMAT (also a file of another format: the message tells which), DN_E_UNSUPPORTED. */
DN_API DN_CHECK_RESULT dn_status dn_image_open_path(const char *path, const dn_image_options *options,
                                                    dn_image **out, dn_error *error);
/* Like dn_image_open_path, but from `size` bytes in memory, which are not kept. */
DN_API DN_CHECK_RESULT dn_status dn_image_open_memory(const void *bytes, size_t size, const dn_image_options *options,
                                                      dn_image **out, dn_error *error);
/* Describes the image's pixels, tightly packed.  They live as long as the image.  All zeros for a NULL image. */
DN_API void dn_image_pixels(const dn_image *image, dn_pixels *out);
DN_API void dn_image_free(dn_image *image); /* NULL is allowed */
/* Number `index` (0, 1, ...) of the file-name endings of the formats that dn_image_open_path reads, in lower case and
 * with the dot (".png"), to look for images in a folder; NULL: no more of them.  Static string.  Any thread. */
DN_API const char *dn_image_ending(int32_t index);

/* Writes a PNG of any dn_pixels (DN_GRAY16 as 16 bit, alpha dropped), atomically: the file appears complete or not
 * at all.  Errors: DN_E_IO, DN_E_UNSUPPORTED (a size that PNG cannot have). */
DN_API DN_CHECK_RESULT dn_status dn_image_write_png(const dn_pixels *image, const char *path, dn_error *error);
/* Like dn_image_write_png, but to memory. */
DN_API DN_CHECK_RESULT dn_status dn_image_encode_png(const dn_pixels *image, dn_blob **out, dn_error *error);

/* Draws a heat map over an image, as RGB8 of the image's size.
 * map: (height, width) floats as dn_localizer_map gives them (1 = the most that good images show).
 * NaN or infinity in it is DN_E_NUMERIC.
 * full: the map value that gets the hottest colour: > 1; <= 0 means the default DN_OVERLAY_FULL.
 * rgb: (height, width, 3) bytes of the caller.  Values up to 1 stay uncoloured; above, the bright half of a
 * perceptually uniform colour map is blended in with growing weight, so that it is seen on black parts as well. */
#define DN_OVERLAY_FULL 4.0f
DN_API DN_CHECK_RESULT dn_status dn_image_overlay(const dn_pixels *image, const float *map, float full,
                                                  uint8_t *rgb, dn_error *error);

/* ------------------------------------------------------------------------------------------------
 * Extractor: the frozen CNN (paper section 3.3: feature extraction at several scales)
 */

typedef struct dn_extractor dn_extractor;

typedef struct dn_extractor_options {
    uint32_t struct_size;
    int32_t input_size;   /* width of a view in pixels, and its height: multiple of 32, 32 .. 2048, default 448 */
    int32_t scales;       /* view, every 2nd, every 4th ... pixel of it: 1 .. 5, default 3 */
    int32_t input_height; /* a height of its own, for parts that are not square: likewise; default 0: input_size */
    const dn_allocator *allocator; /* default NULL: malloc */
} dn_extractor_options;
DN_API void dn_extractor_options_init_size(dn_extractor_options *options, size_t size);
#define dn_extractor_options_init(options) dn_extractor_options_init_size((options), sizeof *(options))

/* Loads a backbone from a safetensors file.  AlexNet is recognised by torchvision's names and shapes
 * (features.{0,3,6,8,10}.{weight,bias}, the prefix "features." optional, classifier tensors ignored); any other
 * sequential CNN needs a layer list under "differnet.layers" in the file's __metadata__ (docs/format.md).
 * float32, float16 and float64 tensors.  Errors: DN_E_IO, DN_E_FORMAT, DN_E_KIND (a model, flow or checkpoint),
 * DN_E_UNSUPPORTED (an unknown network, or a layer list with what this library does not know; a feature of more than
 * 65536 numbers), DN_E_LIMIT (a file above 2^32 bytes; a layer whose output at this input size exceeds 2^28 numbers,
 * or a network that takes more than 2^42 multiplications for a view),
 * DN_E_NUMERIC (NaN or infinity in the weights), DN_E_ARGUMENT (also an input size at which the smallest scale does not
 * fit through the network). */
DN_API DN_CHECK_RESULT dn_status dn_extractor_open_path(const char *path, const dn_extractor_options *options,
                                                        dn_extractor **out, dn_error *error);
/* Like dn_extractor_open_path, but from `size` bytes in memory, which are not kept. */
DN_API DN_CHECK_RESULT dn_status dn_extractor_open_memory(const void *bytes, size_t size,
                                                          const dn_extractor_options *options,
                                                          dn_extractor **out, dn_error *error);
/* The built-in backbone, pretrained: its file is compiled into the library, and is read like any other.
 * Errors: DN_E_UNSUPPORTED if the library was built without it (embed_backbone=false); DN_E_ARGUMENT as above. */
DN_API DN_CHECK_RESULT dn_status dn_extractor_default(const dn_extractor_options *options,
                                                      dn_extractor **out, dn_error *error);
/* AlexNet with seeded random weights (He normal, zero bias) and the given numbers of output channels of its five
 * convolutions, 1 .. 4096 each; NULL means AlexNet's own: 64, 192, 384, 256, 256.  For tests and as a baseline. */
DN_API DN_CHECK_RESULT dn_status dn_extractor_random(const int32_t channels[5], uint64_t seed,
                                                     const dn_extractor_options *options,
                                                     dn_extractor **out, dn_error *error);
/* Writes the backbone to a safetensors file that dn_extractor_open_path reads as the same network: layer list, mean,
 * standard deviation, name, whether it is random, and the tensors that the layers use, whatever it was made from.
 * Atomic: an existing file is replaced by a complete one or left as it is.  Input size and scales are not part of it.
 * storage: DN_STORAGE_F32, or DN_STORAGE_F16, which is DN_E_NUMERIC where a weight is too large for it. */
DN_API DN_CHECK_RESULT dn_status dn_extractor_save(const dn_extractor *extractor, const char *path, int32_t storage,
                                                   dn_error *error);
/* Like dn_extractor_save, but to memory. */
DN_API DN_CHECK_RESULT dn_status dn_extractor_save_memory(const dn_extractor *extractor, int32_t storage,
                                                          dn_blob **out, dn_error *error);
DN_API dn_extractor *dn_extractor_ref(dn_extractor *extractor);
DN_API void dn_extractor_unref(dn_extractor *extractor); /* NULL is allowed */

typedef struct dn_extractor_info {
    uint32_t struct_size;
    int32_t input_size;  /* width of a view, pixels */
    int32_t scales;
    int32_t taps;        /* layers whose mean activation goes into the feature (AlexNet: 1) */
    int32_t feature_dim; /* scales x sum of the taps' channels; AlexNet at 3 scales: 768 */
    int32_t random;      /* 1: random weights that stand in for trained ones */
    uint32_t id;         /* crc32 of layer list, mean, std and weights (docs/format.md) */
    int32_t layers;      /* up to the last tap: the others are dropped */
    int64_t parameters;  /* weights and biases of these layers */
    float mean[3], std[3]; /* a view is (rgb in 0..1 - mean) / std */
    char name[64];
    int32_t input_height; /* of a view, pixels: as input_size, unless dn_extractor_options told another one */
    int32_t reserved;
} dn_extractor_info;
DN_API void dn_extractor_info_init_size(dn_extractor_info *info, size_t size);
#define dn_extractor_info_init(info) dn_extractor_info_init_size((info), sizeof *(info))
DN_API DN_CHECK_RESULT dn_status dn_extractor_get_info(const dn_extractor *extractor, dn_extractor_info *info);
/* Name of tap 0 .. taps-1 ("features.12").  Lives as long as the extractor; NULL if out of range. */
DN_API const char *dn_extractor_tap_name(const dn_extractor *extractor, int32_t tap);

/* What the backbone's file tells about itself beyond dn_extractor_info (how it was trained, its licence, ...): entry 0,
 * 1, ... of its __metadata__, in its order, without "name" and the "differnet." keys of docs/format.md.  Returns the
 * key and sets *value; NULL if there are no more.  UTF-8 that may hold control characters; both texts live as long as
 * the extractor.  There are none for random weights, nor for a backbone out of a model's file. */
DN_API const char *dn_extractor_metadata(const dn_extractor *extractor, int32_t index, const char **value);

/* Renders n views (here and below: 1 .. 65536) of an image: stretched to the input size (bilinear, antialiased),
 * rotated by angles[i] degrees (finite) counter-clockwise about the centre (nearest; black where nothing of the image
 * comes to lie, and what is turned out of the view is cut off), normalised.  views: (n, height, width, 3) floats. */
DN_API DN_CHECK_RESULT dn_status dn_extractor_views(const dn_extractor *extractor, const dn_pixels *image,
                                                    const double *angles, int32_t n, float *views, dn_error *error);
/* Features of n views.  views: (n, height, width, 3); features: (n, feature_dim), largest scale first, within a scale
 * tap by tap; each the mean of one map over its positions.  Scratch is allocated and freed within the call.
 * Views are computed four at a time, as they come: one alone may differ from the same one among others by rounding.
 * DN_E_NUMERIC if a view or a feature is not finite. */
DN_API DN_CHECK_RESULT dn_status dn_extractor_features(const dn_extractor *extractor, const float *views, int32_t n,
                                                       float *features, dn_error *error);
/* Features of one image seen under n angles: dn_extractor_views and dn_extractor_features in one. */
DN_API DN_CHECK_RESULT dn_status dn_extractor_features_image(const dn_extractor *extractor, const dn_pixels *image,
                                                             const double *angles, int32_t n, float *features,
                                                             dn_error *error);
/* Gradient of sum_j feature_gradient[i][j] * feature[i][j] with respect to the normalised pixels of view i.
 * views: (n, height, width, 3); feature_gradient: (n, feature_dim); pixel_gradient: (n, height, width, 3).
 * DN_E_NUMERIC if something in them is not finite. */
DN_API DN_CHECK_RESULT dn_status dn_extractor_gradient(const dn_extractor *extractor, const float *views, int32_t n,
                                                       const float *feature_gradient, float *pixel_gradient,
                                                       dn_error *error);

/* Feature maps of a view at a common grid: outputs of some layers (the taps for maps: those that the layer list marks,
 * by default AlexNet's second pool and its third to fifth convolution, of another network the last activation of each
 * size from a quarter to a sixteenth of the view), brought to the grid of the coarsest. */
typedef struct dn_maps_info {
    uint32_t struct_size;
    int32_t rows, columns; /* of the grid; AlexNet at 448 pixels: 27 x 27 */
    int32_t channels;      /* of all taps; AlexNet: 1088 */
    int32_t taps;
    int32_t reserved;
    double stride_y, stride_x; /* pixels of the view from one cell's centre to the next */
    double offset_y, offset_x; /* the first cell's centre; pixel centres are at half-integers */
} dn_maps_info;
DN_API void dn_maps_info_init_size(dn_maps_info *info, size_t size);
#define dn_maps_info_init(info) dn_maps_info_init_size((info), sizeof *(info))
DN_API DN_CHECK_RESULT dn_status dn_extractor_get_maps_info(const dn_extractor *extractor, dn_maps_info *info);
/* Name of the tap for maps 0 .. taps-1, in the order of their channels.  Lives as long as the extractor; NULL if out of
 * range. */
DN_API const char *dn_extractor_map_name(const dn_extractor *extractor, int32_t tap);
/* Maps of n views (1 .. 65536).  views: (n, height, width, 3) as dn_extractor_views renders them; maps: (n, rows, columns,
 * channels).  Scratch is allocated and freed within the call; any thread.  A view's maps do not depend on the others.
 * DN_E_NUMERIC if a view or a map is not finite. */
DN_API DN_CHECK_RESULT dn_status dn_extractor_maps(const dn_extractor *extractor, const float *views, int32_t n,
                                                   float *maps, dn_error *error);

/* ------------------------------------------------------------------------------------------------
 * Flow: the normalizing flow (paper section 3.1, figure 3; after RealNVP)
 *
 * Block: a fixed permutation, then both halves are coupled: y1 = x1 * exp(l(s2)) + t2, (s2, t2) = net2(x2);
 * y2 = x2 * exp(l(s1)) + t1, (s1, t1) = net1(y1); l(s) = clamp * 0.636 * atan(s / clamp) (paper equation 5).
 * A block's output is limited to +-10^6.
 *
 * For the calls that take rows: n >= 1; scratch is allocated and freed within the call; DN_E_NUMERIC if something that
 * goes in or comes out is not finite.
 */

typedef struct dn_flow dn_flow;

typedef struct dn_flow_options {
    uint32_t struct_size;
    int32_t dimension; /* 2 .. 65536, even, default 768 */
    int32_t blocks;    /* 1 .. 64, default 8 */
    int32_t hidden;    /* width of the subnets' hidden layers: 1 .. 16384, default 512 (the paper: 2048) */
    double clamp;      /* a of the soft clamp: > 0 .. 100, default 3 */
    uint64_t seed;     /* of permutations and initial weights, default 0 */
    const dn_allocator *allocator; /* default NULL: malloc */
} dn_flow_options;
DN_API void dn_flow_options_init_size(dn_flow_options *options, size_t size);
#define dn_flow_options_init(options) dn_flow_options_init_size((options), sizeof *(options))

/* A flow with seeded permutations and initial weights U(-1/sqrt(inputs), 1/sqrt(inputs)). */
DN_API DN_CHECK_RESULT dn_status dn_flow_create(const dn_flow_options *options, dn_flow **out, dn_error *error);
/* Reads a flow file (dn_flow_save).  allocator: NULL for malloc.  Errors: DN_E_IO, DN_E_FORMAT, DN_E_KIND (a model or
 * backbone), DN_E_VERSION, DN_E_NUMERIC. */
DN_API DN_CHECK_RESULT dn_status dn_flow_open_path(const char *path, const dn_allocator *allocator,
                                                   dn_flow **out, dn_error *error);
DN_API DN_CHECK_RESULT dn_status dn_flow_open_memory(const void *bytes, size_t size, const dn_allocator *allocator,
                                                     dn_flow **out, dn_error *error);
/* Writes the flow (float32), atomically: an existing file is replaced by a complete one or left as it is. */
DN_API DN_CHECK_RESULT dn_status dn_flow_save(const dn_flow *flow, const char *path, dn_error *error);
DN_API DN_CHECK_RESULT dn_status dn_flow_save_memory(const dn_flow *flow, dn_blob **out, dn_error *error);
DN_API dn_flow *dn_flow_ref(dn_flow *flow);
DN_API void dn_flow_unref(dn_flow *flow); /* NULL is allowed */
/* Fills dimension, blocks, hidden, clamp and seed; allocator becomes NULL.  `info` is set up by
 * dn_flow_options_init() before the call. */
DN_API DN_CHECK_RESULT dn_status dn_flow_get_info(const dn_flow *flow, dn_flow_options *info);

/* z = f(x) and log |det df/dx|.  x, z: (n, dimension), may be the same array; logdet: (n) or NULL.
 * A row's result does not depend on the other rows or on n. */
DN_API DN_CHECK_RESULT dn_status dn_flow_forward(const dn_flow *flow, const float *x, int32_t n, float *z,
                                                 float *logdet, dn_error *error);
/* x = f^-1(z).  z, x: (n, dimension), may be the same array. */
DN_API DN_CHECK_RESULT dn_status dn_flow_inverse(const dn_flow *flow, const float *z, int32_t n, float *x,
                                                 dn_error *error);
/* n samples x = f^-1(z), z ~ N(0, I) drawn from `seed`.  x: (n, dimension). */
DN_API DN_CHECK_RESULT dn_status dn_flow_sample(const dn_flow *flow, uint64_t seed, int32_t n, float *x,
                                                dn_error *error);
/* log p(x) = -|z|^2 / 2 - dimension / 2 * log(2 pi) + logdet (paper equation 2), natural log.
 * x: (n, dimension); log_likelihood: (n). */
DN_API DN_CHECK_RESULT dn_status dn_flow_log_likelihood(const dn_flow *flow, const float *x, int32_t n,
                                                        double *log_likelihood, dn_error *error);
/* Gradient of sum_i <z_gradient[i], z[i]> + logdet_gradient[i] * logdet[i] with respect to x, both factors held fixed.
 * x, z_gradient, x_gradient: (n, dimension); logdet_gradient: (n) or NULL for zeros. */
DN_API DN_CHECK_RESULT dn_status dn_flow_gradient(const dn_flow *flow, const float *x, int32_t n,
                                                  const float *z_gradient, const float *logdet_gradient,
                                                  float *x_gradient, dn_error *error);

/* ------------------------------------------------------------------------------------------------
 * Model: everything needed to score, in one file
 */

typedef struct dn_model dn_model;

/* Notes in a model, and the bytes of each, at most. */
#define DN_NOTES            32
#define DN_NOTE_KEY_BYTES   64
#define DN_NOTE_VALUE_BYTES 1024

/* Operating points in a model, and the bytes of a name, at most. */
#define DN_POINTS           16
#define DN_POINT_NAME_BYTES 32

/* Which angles the views have (degrees, counter-clockwise). */
#define DN_ANGLES_STRATIFIED 0 /* one seeded random angle from each N-th of the circle: like training's (default) */
#define DN_ANGLES_GRID       1 /* i * 360 / N, as the reference implementation's evaluation */

/* How much of a model file is checked when it is opened.  Either way the header and its crc32, the tensors' names,
 * shapes and sizes, and all numbers that are read anyway are checked: those of the backbone, and the densities' where
 * they must be converted.  A damaged file never makes the library read or write where it should not. */
#define DN_VERIFY_HEADER 0 /* Float32 weights of the flow and factors of the positions' covariances are not read: a
                              file of any size opens in the time that its backbone takes.  If they are damaged, scores
                              and maps are wrong without a word, or DN_E_NUMERIC: NaN always is, infinity need not be.
                              Saving such a model would give the damage a checksum that fits.  For files that were
                              checked before. */
#define DN_VERIFY_FULL   1 /* The crc32 of all data is compared, and NaN or infinity anywhere is DN_E_NUMERIC: reads
                              the whole file */

typedef struct dn_model_options {
    uint32_t struct_size;
    int32_t verify; /* DN_VERIFY_..., default DN_VERIFY_FULL */
    const dn_allocator *allocator; /* default NULL: malloc */
} dn_model_options;
DN_API void dn_model_options_init_size(dn_model_options *options, size_t size);
#define dn_model_options_init(options) dn_model_options_init_size((options), sizeof *(options))

/* Opens a model file (.dnm).  The file is mapped, and float32 weights of the flow and factors of the positions are used
 * where they lie: they take no memory of their own, and processes that open the same file share them.  So it must not
 * be changed in place while the model, or its flow, lives: results would change, and a file that is cut short kills the
 * process (SIGBUS).  Removing it or replacing it by rename, as dn_model_save does, is fine.  Errors: DN_E_IO,
 * DN_E_FORMAT (also a checksum that differs), DN_E_KIND (a backbone, flow or checkpoint), DN_E_VERSION, DN_E_NUMERIC,
 * DN_E_UNSUPPORTED and DN_E_LIMIT (its backbone, see dn_extractor_open_path; the first also for a density that this
 * version does not know). */
DN_API DN_CHECK_RESULT dn_status dn_model_open_path(const char *path, const dn_model_options *options,
                                                    dn_model **out, dn_error *error);
/* Like dn_model_open_path, but from `size` bytes in memory, which are copied. */
DN_API DN_CHECK_RESULT dn_status dn_model_open_memory(const void *bytes, size_t size, const dn_model_options *options,
                                                      dn_model **out, dn_error *error);
/* Writes the model, atomically: an existing file is replaced by a complete one or left as it is.
 * storage: DN_STORAGE_F32 or DN_STORAGE_F16, which is DN_E_NUMERIC where a weight is too large for it. */
DN_API DN_CHECK_RESULT dn_status dn_model_save(const dn_model *model, const char *path, int32_t storage,
                                               dn_error *error);
/* Like dn_model_save, but to memory. */
DN_API DN_CHECK_RESULT dn_status dn_model_save_memory(const dn_model *model, int32_t storage, dn_blob **out,
                                                      dn_error *error);
DN_API dn_model *dn_model_ref(dn_model *model);
DN_API void dn_model_unref(dn_model *model); /* NULL is allowed */

/* What an image is like as a whole, measured where it is stretched for the network: entries of an array. */
#define DN_TRAIT_COLOUR     0 /* mean of the largest minus the smallest of red, green and blue, 0 .. 1; 0: gray */
#define DN_TRAIT_BRIGHTNESS 1 /* mean gray, 0 .. 1 */
#define DN_TRAIT_CONTRAST   2 /* gray that 90 % of the pixels stay below, minus that which 10 % do, 0 .. 1 */
#define DN_TRAIT_SHARPNESS  3 /* mean of the Laplacian's absolute values over that of the neighbours' differences */
#define DN_TRAIT_DARKEST    4 /* smallest and largest gray, 0 .. 1: the used range */
#define DN_TRAIT_BRIGHTEST  5
#define DN_TRAIT_SIZE       6 /* root of the number of the image's pixels */
#define DN_TRAIT_SHAPE      7 /* width / height */
#define DN_TRAIT_BITS       8 /* of a sample: 8 or 16 */
#define DN_TRAITS           9

typedef struct dn_model_info {
    uint32_t struct_size;
    uint32_t id;            /* crc32 of all that scores and maps depend on (docs/format.md): equal id, equal answers */
    int32_t input_size;     /* width of a view, pixels */
    int32_t scales;
    int32_t feature_dim;
    int32_t blocks;         /* of the flow, 0 without one; likewise: */
    int32_t hidden;
    int32_t views;          /* default number of views for scoring; 1 without a flow */
    int32_t angles;         /* DN_ANGLES_... */
    int32_t standardized;   /* 1: features are standardised before the flow */
    int32_t backbone_random;/* 1: the backbone has random weights that stand in for trained ones */
    int32_t storage;        /* DN_STORAGE_... of the file it was opened from; DN_STORAGE_F32 for a new model */
    int32_t train_images;   /* images the flow learned from; without a flow those that the positions' density did */
    int32_t holdout_images; /* good images whose scores give the p-values (0: no verdicts): kept out of the flow's
                               training, or all, each scored by a density that has not seen it */
    int32_t epochs;         /* epochs trained */
    int32_t bank;           /* views per image in the feature bank; 0: fresh views each step */
    uint64_t seed;
    double clamp;
    double final_loss;      /* mean training loss of the last epoch; NaN if not known */
    double heatmap_scale;   /* gradient-map value that good images hardly exceed (docs/numerics.md); 0: not known */
    int64_t parameters;     /* backbone and densities, without the details */
    char backbone[64];
    char library[16];       /* version of the library that trained it */
    char preset[16];        /* that it was trained with: "compact", "fast", "paper"; "" if not known */
    double positions_scale; /* positions' map value that good images hardly exceed; 0: not known */
    int32_t flow;           /* 1: the model holds the flow on pooled features */
    int32_t positions;      /* 1: it holds the density at every position */
    int32_t map_rows, map_columns; /* its grid */
    int32_t map_channels;   /* of the feature maps */
    int32_t position_dims;  /* that they are projected to; these four 0 without that density */
    int32_t seen_images;    /* good images whose traits the model has kept (dn_score.warnings); 0: none, in old files */
    int32_t copies;         /* DN_COPIES_... that the positions learned, too; DN_COPIES_AUTO: not known */
    double seen_low[DN_TRAITS], seen_high[DN_TRAITS]; /* the least and the most of each trait; 0 without such images */
    int32_t calibration;    /* DN_CALIBRATION_SPLIT or DN_CALIBRATION_CROSS: how the scores of good images came about; 0:
                               there are none, or it is not known */
    int32_t folds;          /* of cross-fitting, else 0 */
    int32_t tile_columns, tile_rows; /* tiles that the positions' density cuts an image into; 1, 1: the whole is one */
    int32_t fit;            /* DN_FIT_... */
    int32_t input_height;   /* of a view, pixels; input_size where it is square */
    int32_t range_low, range_high; /* values of 16-bit pixels that are black and white; 0, 0: 0 and 65535 */
    double mask_share;      /* share of an image that counts by the model's own mask (dn_trainer_set_mask); 1: no mask */
    double detail_weight;   /* of the distances of the details (DN_DETAILS_...); 0: there are none */
    int32_t detail_rows, detail_columns; /* their grid; 0 without them */
    double flow_weight;     /* above 0 .. 1: of the flow's part in the score (docs/numerics.md, "Image score"); 0:
                               there is one density only, or the model is of an earlier file format and keeps its rule */
} dn_model_info;
DN_API void dn_model_info_init_size(dn_model_info *info, size_t size);
#define dn_model_info_init(info) dn_model_info_init_size((info), sizeof *(info))
DN_API DN_CHECK_RESULT dn_status dn_model_get_info(const dn_model *model, dn_model_info *info);
/* Scores of the held-out good images, ascending; `*count` gets their number (0 is possible, the pointer may then be
 * NULL).  Lives as long as the model. */
DN_API const double *dn_model_holdout_scores(const dn_model *model, int32_t *count);
/* What was written into the model about itself (dn_trainer_note): note 0, 1, ... in the order they were set.  Returns the
 * key and sets *value (value may be NULL); NULL if there are no more.  Printable UTF-8, which lives as long as the
 * model.  Notes are no part of the model's id. */
DN_API const char *dn_model_note(const dn_model *model, int32_t index, const char **value);
/* Like dn_image_overlay, with 16-bit pixels shown in the model's range, and dark what its mask leaves out. */
DN_API DN_CHECK_RESULT dn_status dn_model_overlay(const dn_model *model, const dn_pixels *image, const float *map,
                                                  float full, uint8_t *rgb, dn_error *error);
/* Operating point 0, 1, ... of the model: its name, and *threshold (may be NULL) that dn_scorer_set_operating_point
 * sets; NULL if there are no more.  Set by dn_calibrator_set_point. */
DN_API const char *dn_model_operating_point(const dn_model *model, int32_t index, double *threshold);
/* The model's parts, for use on their own.  Borrowed: they live as long as the model; ref them to keep them. */
DN_API dn_extractor *dn_model_extractor(const dn_model *model);
DN_API dn_flow *dn_model_flow(const dn_model *model); /* NULL: the model holds none */
/* Standardisation y' = (y - mean) / deviation before the flow: pointers to (feature_dim) floats that live as long as
 * the model; NULL without a flow. */
DN_API const float *dn_model_feature_mean(const dn_model *model);
DN_API const float *dn_model_feature_deviation(const dn_model *model);

/* ------------------------------------------------------------------------------------------------
 * Scorer (paper section 3.4, equation 6: mean over transformed views)
 */

typedef struct dn_scorer dn_scorer;

typedef struct dn_scorer_options {
    uint32_t struct_size;
    int32_t views;   /* 1 .. 1024; 0 (default): the model's own number.  Verdicts rest on scores of good images under as
                        many views: up to the model's own number exactly, then those are a part of the model's own; more
                        are compared with those of all the model's views, which scatter a little more */
    int32_t angles;  /* DN_ANGLES_...; -1 (default): the model's own */
    int32_t threads; /* 1 .. 256, default 1: the calling thread alone.  The result has the same bits for any value */
    double false_alarm_rate; /* verdict at p <= this: > 0 .. 1, default 0.05 */
    const dn_allocator *allocator; /* default NULL: malloc */
    const dn_runner *runner; /* what the `threads` jobs run on; default NULL: the library's own threads */
    int64_t max_pixels; /* of files, as in dn_image_options: >= 1, default 64 x 2^20 */
    int64_t max_bytes;  /* likewise: >= 1, default 2^30 */
    int64_t max_memory; /* likewise: >= 0, default 0 */
} dn_scorer_options;
DN_API void dn_scorer_options_init_size(dn_scorer_options *options, size_t size);
#define dn_scorer_options_init(options) dn_scorer_options_init_size((options), sizeof *(options))

/* An image that is not like those learned from (dn_score.warnings): of another camera, in another light, out of focus.
 * The limits are such that other images of the same line seldom get one (docs/numerics.md, "Images learned from"). */
#define DN_WARN_GRAY     0x0001u /* gray image, the model learned from colour */
#define DN_WARN_COLOUR   0x0002u
#define DN_WARN_8_BIT    0x0004u /* 8-bit image, the model learned from 16 bits */
#define DN_WARN_16_BIT   0x0008u
#define DN_WARN_DARK     0x0010u /* darker than all images learned from; likewise: */
#define DN_WARN_BRIGHT   0x0020u
#define DN_WARN_FLAT     0x0040u /* less contrast */
#define DN_WARN_CONTRAST 0x0080u /* more contrast */
#define DN_WARN_BLURRED  0x0100u
#define DN_WARN_SHARP    0x0200u /* sharper or noisier */
#define DN_WARN_SMALL    0x0400u /* fewer pixels */
#define DN_WARN_LARGE    0x0800u
#define DN_WARN_NARROW   0x1000u /* of another shape: width by height */
#define DN_WARN_WIDE     0x2000u
/* English text of one warning ("darker than all images learned from").  Static string; NULL if it is not exactly one of
 * the above.  Any thread. */
DN_API const char *dn_warning_text(uint32_t warning);

typedef struct dn_score {
    uint32_t struct_size;
    int32_t anomalous;       /* 1 anomalous, 0 normal, -1 no verdict: the model holds no scores of good images, and no
                                threshold was set */
    double score;            /* >= 0, about 1 for good images.  With the flow alone its own score; else each part is
                                standardised by what good images had, and damped (docs/numerics.md, "Image score") */
    double log_likelihood;   /* mean over views of log p of the features as the flow gets them (standardised); NaN if
                                lower_bound is 1 */
    double p_value;          /* (1 + held-out scores >= score) / (held-out scores + 1); NaN without them */
    double threshold;        /* anomalous means score > threshold, the one in force: of the false-alarm rate, or set by
                                dn_scorer_set_threshold; -1 where every score is; NaN where there is none */
    double false_alarm_rate; /* the rate the verdict keeps: the one asked for, or the smallest the model can promise,
                                1 / (held-out scores + 1), if that is larger; with a threshold that was set the one it
                                keeps, (1 + held-out scores > threshold) / (held-out scores + 1); NaN without held-out
                                scores */
    int32_t views;           /* that were looked at */
    int32_t lower_bound;     /* 1: dn_scorer_decide ended early: the image's score is at least `score`, its p-value at
                                most `p_value`; 0: they are exact */
    double flow_score;       /* what the parts say (NaN: the model has no such density): the flow's mean of z^2 over
                                views and dimensions; */
    double local_score;      /* what stands out in the positions' map: the mean of its highest 2.5 %, relative to the
                                rest; */
    double whole_score;      /* how unusual the whole image is: the map's median, about 1 for good images */
    double index;            /* the score for people, 0 .. 1: 0.5 at the threshold in force, 0.25 at the median of the
                                held-out scores; it grows with the score (formula: docs/numerics.md, "Index").  1 at a
                                threshold of -1, NaN without a threshold */
    uint32_t warnings;       /* DN_WARN_... or'ed: in what the image is unlike all that the model learned from, so that
                                its score may mean little; 0 where the model does not know what those were like */
    uint32_t reserved;
} dn_score;
DN_API void dn_score_init_size(dn_score *score, size_t size);
#define dn_score_init(score) dn_score_init_size((score), sizeof *(score))

/* Allocates what single images need and starts the threads asked for.  Scoring then allocates only what reading a file
 * takes, and where an image needs more scratch than all before it or a batch more memory (docs/threads.md).
 * DN_E_THREAD also if the runner breaks its contract. */
DN_API DN_CHECK_RESULT dn_status dn_scorer_create(dn_model *model, const dn_scorer_options *options,
                                                  dn_scorer **out, dn_error *error);
/* What verdicts go by from now on; scores, p-values and view scores stay what they are.  Each call replaces what was in
 * force: dn_scorer_set_false_alarm_rate is the way back from a threshold.
 * false_alarm_rate: > 0 .. 1, as in the options.  threshold: >= 0, finite: anomalous means score > threshold, also where
 * the model holds no scores of good images.  DN_E_ARGUMENT for other numbers: what was in force stays. */
DN_API DN_CHECK_RESULT dn_status dn_scorer_set_false_alarm_rate(dn_scorer *scorer, double false_alarm_rate);
DN_API DN_CHECK_RESULT dn_status dn_scorer_set_threshold(dn_scorer *scorer, double threshold);
/* Likewise by the threshold that the model holds under a name (dn_model_operating_point).  Thresholds are of scores under
 * the model's own number of views.  DN_E_ARGUMENT, with the names there are, if it has none of this name. */
DN_API DN_CHECK_RESULT dn_status dn_scorer_set_operating_point(dn_scorer *scorer, const char *name);
/* What counts in the images that are scored from now on: an image of any size whose aspect is theirs (to a pixel, or 1
 * %; an image of another one is then DN_E_ARGUMENT); mask NULL: everything.  Where the model was trained with a mask of its
 * own (dn_trainer_set_mask), that holds in any case: what counts by both counts.  A pixel is marked if one of its channels is
 * at least half of white.  What is marked counts (DN_MASK_INCLUDE), or does not (DN_MASK_IGNORE).  The mask is copied.
 * Of the density at every position, cells whose centre does not count are left out of score and map exactly, and the map
 * is 0 in all pixels that do not count; what a cell sees beyond the mask's edge it still sees.  For the flow what does
 * not count is painted in the backbone's mean colour; as it has learned nothing of this, its part of the score rises
 * with the painted share: with large masks a model without a flow suits better, or one that was trained with the mask.
 * P-values compare with good images' scores by the model's own mask alone.  DN_E_ARGUMENT if nothing would count, also by
 * both, or the model's own mask has another aspect: the mask is then as it was. */
#define DN_MASK_INCLUDE 0
#define DN_MASK_IGNORE  1
DN_API DN_CHECK_RESULT dn_status dn_scorer_set_mask(dn_scorer *scorer, const dn_pixels *mask, int32_t kind);
/* Scores an image of at least DN_MIN_SIDE pixels each side.  DN_E_NUMERIC if the result is not finite.  *score is
 * written on success only. */
DN_API DN_CHECK_RESULT dn_status dn_scorer_score(dn_scorer *scorer, const dn_pixels *image, dn_score *score);
/* Like dn_scorer_score, but decodes a file, within the limits of the scorer's options (errors as in
 * dn_image_open_path).  An image that is too small is refused by its header. */
DN_API DN_CHECK_RESULT dn_status dn_scorer_score_path(dn_scorer *scorer, const char *path, dn_score *score);

/* Like dn_scorer_score, but ends as soon as the verdict is certain: the score is a mean of terms >= 0, so once those of
 * the first 8, 16, 32 ... views exceed the threshold for all, the image is anomalous.  The verdict is always the one of
 * dn_scorer_score.  An image found anomalous before all views were looked at has lower_bound = 1 in its score; all
 * others, and all images where the model holds no scores of good ones, have the score of dn_scorer_score, same bits, in
 * a little more time.  Numbers that are not finite are DN_E_NUMERIC in the views that were looked at. */
DN_API DN_CHECK_RESULT dn_status dn_scorer_decide(dn_scorer *scorer, const dn_pixels *image, dn_score *score);
/* Likewise of a file. */
DN_API DN_CHECK_RESULT dn_status dn_scorer_decide_path(dn_scorer *scorer, const char *path, dn_score *score);

/* Verdict and map of an image from one pass.  map: (height, width) floats of the caller, as dn_localizer_map gives them
 * with DN_MAP_POSITIONS, same bits.  The score is the one of dn_scorer_score.  Allocates nothing when warm.
 * DN_E_STATE if the model has no density at every position. */
DN_API DN_CHECK_RESULT dn_status dn_scorer_inspect(dn_scorer *scorer, const dn_pixels *image, float *map,
                                                   dn_score *score);

/* Scores many images, with the bits of dn_scorer_score, but faster: views of several images keep all threads busy, and
 * go through the flow together, which reads its weights once for them.
 * images: (count), count >= 0.  scores: (count), each set up by dn_score_init().  errors: (count) or NULL; the status
 * of errors[i] is DN_OK where scores[i] was written, and tells why where it was not: an image that cannot be scored
 * does not stop the others.  Only a failure of the call as a whole (arguments, DN_E_MEMORY for the batch, DN_E_THREAD)
 * leaves the images from there on unscored.
 * Returns DN_OK if all were scored; otherwise the status of the first that was not, and dn_scorer_error() names it. */
DN_API DN_CHECK_RESULT dn_status dn_scorer_score_batch(dn_scorer *scorer, const dn_pixels *images, int32_t count,
                                                       dn_score *scores, dn_error *errors);
/* Likewise of files: paths (count).  They are decoded by all threads, so that up to `threads` decoded images are in
 * memory at once. */
DN_API DN_CHECK_RESULT dn_status dn_scorer_score_batch_paths(dn_scorer *scorer, const char *const *paths,
                                                             int32_t count, dn_score *scores, dn_error *errors);
/* Images that a batch call handles together: 1 .. 16, fewer with many views or a large input size.  More of them are
 * handled in groups of as many, so that calls of this size lose nothing and give results earlier.  0 for NULL. */
DN_API int32_t dn_scorer_batch_images(const dn_scorer *scorer);

/* Mean of z^2 of each view of the last image, as far as it was looked at; `*count` gets their number.  Valid until the
 * next call; NULL and 0 before the first one, after one that failed, after a batch and for a model without a flow. */
DN_API const double *dn_scorer_view_scores(const dn_scorer *scorer, int32_t *count);
DN_API const dn_error *dn_scorer_error(const dn_scorer *scorer);
DN_API void dn_scorer_free(dn_scorer *scorer); /* NULL is allowed */

/* ------------------------------------------------------------------------------------------------
 * Monitor: is the line still the same?
 *
 * p-values of good images are uniform as long as camera, light and parts are what they were.  A monitor takes them as
 * they come and tells when they are so no longer: smaller, larger, further apart or closer together.  It is Shiryaev and
 * Roberts' statistic on a conformal test martingale (Vovk and others, "Retrain or not retrain: conformal test
 * martingales for change-point detection", COPA 2021; docs/numerics.md, "Monitor").
 */

typedef struct dn_monitor dn_monitor;

typedef struct dn_monitor_options {
    uint32_t struct_size;
    int32_t good_scores; /* n of the p-values, the number that dn_model_holdout_scores tells: few good scores tell less
                            well where good ones lie, and the test allows for that.  0 .. 2^24, default 0: p-values are
                            taken for uniform, as if there were any number */
    double images_between_alarms; /* mean number of images, at least, until an alarm where nothing has changed; within
                            m images there is one with probability m / images_between_alarms at most.  1 .. 10^12,
                            default 10000 */
    int32_t window;      /* p-values that `recent_mean` is over: 1 .. 1000000, default 50 */
    int32_t reserved;
    const dn_allocator *allocator; /* default NULL: malloc */
} dn_monitor_options;
DN_API void dn_monitor_options_init_size(dn_monitor_options *options, size_t size);
#define dn_monitor_options_init(options) dn_monitor_options_init_size((options), sizeof *(options))

typedef struct dn_monitor_state {
    uint32_t struct_size;
    int32_t moved;         /* 1: the p-values are not what they were, since the alarm until dn_monitor_reset; 0 */
    int64_t images;        /* added since creation or reset */
    int64_t moved_at;      /* how many there were at the alarm; 0: none yet */
    double evidence;       /* of a change, >= 0: the alarm comes at 1 */
    double recent_mean;    /* of the last p-values: about 0.5 for good images, less where scores are higher than theirs;
                              NaN before the first one */
    int32_t recent_images; /* that this is the mean of: as many as there are, `window` at most */
    int32_t reserved;
} dn_monitor_state;
DN_API void dn_monitor_state_init_size(dn_monitor_state *state, size_t size);
#define dn_monitor_state_init(state) dn_monitor_state_init_size((state), sizeof *(state))

DN_API DN_CHECK_RESULT dn_status dn_monitor_create(const dn_monitor_options *options, dn_monitor **out,
                                                   dn_error *error);
/* Adds the p-value of the next image, of any verdict: dn_score.p_value, exact (lower_bound 0); > 0 .. 1, else
 * DN_E_ARGUMENT, and nothing is added.  Rare defects hardly count: with 1 in 50 images alarms come
 * little more often (docs/numerics.md).  Takes some nanoseconds and no memory.  One monitor for each model and camera. */
DN_API DN_CHECK_RESULT dn_status dn_monitor_add(dn_monitor *monitor, double p_value);
DN_API DN_CHECK_RESULT dn_status dn_monitor_get_state(dn_monitor *monitor, dn_monitor_state *state);
/* Begins anew, as after creation: once what has changed is repaired, or to be told again while it is not. */
DN_API DN_CHECK_RESULT dn_status dn_monitor_reset(dn_monitor *monitor);
DN_API const dn_error *dn_monitor_error(const dn_monitor *monitor);
DN_API void dn_monitor_free(dn_monitor *monitor); /* NULL is allowed */

/* ------------------------------------------------------------------------------------------------
 * Calibrator: other verdicts without training
 *
 * Takes good images that the model has not learned from, and makes a new model whose p-values and thresholds, those of
 * boxes too (dn_localizer_threshold), go by them.  What the densities learned stays, and so do all scores, bit for bit
 * (the standards of the parts are those of training).  The model it was made from stays as it is.  Copies of one image
 * (equal pixels, or nearly so, as in training: docs/training.md) count once, as the first of them.
 */

typedef struct dn_calibrator dn_calibrator;

typedef struct dn_calibrator_options {
    uint32_t struct_size;
    int32_t keep;            /* 1: the good images whose scores the model holds count beside the new ones: more images;
                                0 (default): the new ones alone: other images */
    int32_t accept_suspects; /* 1: images that score like defects count as well; 0 (default): they are refused */
    int32_t threads;         /* 1 .. 256, default 1.  The result has the same bits for any value */
    const dn_allocator *allocator; /* default NULL: malloc */
    const dn_runner *runner; /* what the `threads` jobs run on; default NULL: the library's own threads */
    int64_t max_pixels;      /* of files, as in dn_image_options: >= 1, default 64 x 2^20 */
    int64_t max_bytes;       /* likewise: >= 1, default 2^30 */
    int64_t max_memory;      /* likewise: >= 0, default 0 */
} dn_calibrator_options;
DN_API void dn_calibrator_options_init_size(dn_calibrator_options *options, size_t size);
#define dn_calibrator_options_init(options) dn_calibrator_options_init_size((options), sizeof *(options))

typedef struct dn_calibrator_info {
    uint32_t struct_size;
    int32_t added;       /* images */
    int32_t counted;     /* of them, where copies of one image (equal pixels, or nearly so) are one: the first of them */
    int32_t good_scores; /* that the new model would hold: it can promise a false-alarm rate of 1 / (good_scores + 1) */
    int32_t suspects;    /* counted images that score like defects: above `limit` */
    int32_t moved;       /* 1: most images score higher than all that the model holds, which chance would not do: the line
                            has changed, or these images are not good ones */
    double limit;        /* docs/numerics.md, "Calibrating anew"; infinity: there are too few images to tell */
} dn_calibrator_info;
DN_API void dn_calibrator_info_init_size(dn_calibrator_info *info, size_t size);
#define dn_calibrator_info_init(info) dn_calibrator_info_init_size((info), sizeof *(info))

/* DN_E_STATE where `keep` is 1 and the model, of an earlier version, does not tell what its scores come from. */
DN_API DN_CHECK_RESULT dn_status dn_calibrator_create(dn_model *model, const dn_calibrator_options *options,
                                                      dn_calibrator **out, dn_error *error);
/* Adds a good image that was not learned from; errors as of dn_scorer_score_path, after which all is as before.  score:
 * what the model says of it, set up by dn_score_init(), or NULL. */
DN_API DN_CHECK_RESULT dn_status dn_calibrator_add_path(dn_calibrator *calibrator, const char *path, dn_score *score);
DN_API DN_CHECK_RESULT dn_status dn_calibrator_add_pixels(dn_calibrator *calibrator, const dn_pixels *image,
                                                          dn_score *score);
/* An operating point for the new model, beside those of the old one: a threshold >= 0 of the score (anomalous means score
 * > threshold) under a name of 1 .. DN_POINT_NAME_BYTES letters a-z, A-Z, digits, ".", "_", "-".  One of the same name is
 * replaced.  DN_E_ARGUMENT: another name or threshold, or more than DN_POINTS of them. */
DN_API DN_CHECK_RESULT dn_status dn_calibrator_set_point(dn_calibrator *calibrator, const char *name, double threshold);
/* A note for the new model, beside those of the old one, as dn_trainer_note. */
DN_API DN_CHECK_RESULT dn_status dn_calibrator_note(dn_calibrator *calibrator, const char *key, const char *value);
/* How things stand.  suspects: room for `capacity` numbers of images in the order of addition, 0, 1, ...; gets those of the
 * first of the suspects (capacity 0: may be NULL). */
DN_API DN_CHECK_RESULT dn_status dn_calibrator_get_info(dn_calibrator *calibrator, dn_calibrator_info *info,
                                                        int32_t *suspects, int32_t capacity);
/* Makes the new model.  Without images it has the old one's scores of good images; more images may be added, and other
 * models made, afterwards.  DN_E_STATE: there are suspects, and accept_suspects is 0. */
DN_API DN_CHECK_RESULT dn_status dn_calibrator_model(dn_calibrator *calibrator, dn_model **out);
DN_API const dn_error *dn_calibrator_error(const dn_calibrator *calibrator);
DN_API void dn_calibrator_free(dn_calibrator *calibrator); /* NULL is allowed */

/* ------------------------------------------------------------------------------------------------
 * Localizer: where the anomaly is
 */

typedef struct dn_localizer dn_localizer;

/* What a map is made from. */
#define DN_MAP_DEFAULT   0 /* the positions' density if the model has one, else the gradient */
#define DN_MAP_POSITIONS 1 /* the density at every position of one upright view */
#define DN_MAP_GRADIENT  2 /* the flow's loss, back to the pixels of many views (the paper's) */

typedef struct dn_localizer_options {
    uint32_t struct_size;
    int32_t views;   /* of the gradient's map: 1 .. 1024, default 16 */
    int32_t angles;  /* likewise, DN_ANGLES_...; -1 (default): the model's own */
    int32_t threads; /* 1 .. 256, default 1 */
    double sigma;    /* Gaussian blur of the gradient, in pixels of a view: 0 (none) .. 64, default 3 */
    const dn_allocator *allocator; /* default NULL: malloc */
    const dn_runner *runner; /* what the `threads` jobs run on; default NULL: the library's own threads */
    int32_t method;  /* DN_MAP_..., default DN_MAP_DEFAULT */
    int32_t reserved;
} dn_localizer_options;
DN_API void dn_localizer_options_init_size(dn_localizer_options *options, size_t size);
#define dn_localizer_options_init(options) dn_localizer_options_init_size((options), sizeof *(options))

/* Allocates and starts threads like dn_scorer_create.  DN_E_STATE if the model has not what the method needs.
 * dn_localizer_map then allocates only where an image needs more
 * scratch than all before it; dn_localizer_boxes allocates and frees within the call. */
DN_API DN_CHECK_RESULT dn_status dn_localizer_create(dn_model *model, const dn_localizer_options *options,
                                                     dn_localizer **out, dn_error *error);
/* Heat map in the image's own pixels.  map: (height, width) floats, >= 0; 1 is what good images hardly exceed (unscaled
 * if the model holds no scale).
 * DN_MAP_POSITIONS: the squared Mahalanobis distance of each cell of the feature maps (dn_maps_info) from what good
 * images have there, smoothed by 0.6 cells, divided by the root of its median (an image that is unusual as a whole
 * raises all cells), interpolated between the cells' centres, divided by positions_scale.
 * DN_MAP_GRADIENT (paper section 3.5): the gradient of the training loss with respect to each view is rotated back and
 * blurred; |.| is averaged over views and channels, squared, and divided by heatmap_scale, which was measured with the
 * default views and sigma: fewer views or less blur give larger values.
 * The image has at least DN_MIN_SIDE pixels each side.  DN_E_NUMERIC if the result is not finite. */
DN_API DN_CHECK_RESULT dn_status dn_localizer_map(dn_localizer *localizer, const dn_pixels *image, float *map);

/* Like dn_scorer_set_mask, for the maps to come, of both methods. */
DN_API DN_CHECK_RESULT dn_status dn_localizer_set_mask(dn_localizer *localizer, const dn_pixels *mask, int32_t kind);

typedef struct dn_box {
    int32_t x, y, width, height; /* pixels of the image */
    float peak;                  /* largest map value of the region */
    int32_t area;                /* its pixels: those at or above the threshold */
    float mean;                  /* of its map values */
    float centroid_x, centroid_y; /* mean place of its pixels, whose centres are at half-integers */
    int32_t reserved;            /* 0 */
} dn_box;
typedef struct dn_box_options {
    uint32_t struct_size;
    float threshold;  /* > 0, default 1, what good images hardly exceed; see dn_localizer_threshold */
    int32_t min_area; /* smaller regions are left out: >= 1 pixels, default 1 */
    int32_t gap;      /* regions with so few pixels between them, in x and in y, are one: 0 .. 256, default 0 */
} dn_box_options;
DN_API void dn_box_options_init_size(dn_box_options *options, size_t size);
#define dn_box_options_init(options) dn_box_options_init_size((options), sizeof *(options))
/* Bounding boxes of the 8-connected regions of map values >= threshold (> 0; 1 is a sensible value), strongest peak
 * first.  map: (height, width), up to 2^31 - 1 values (DN_E_LIMIT above), NaN counts as below.  boxes: room for
 * `capacity` (0: may be NULL); `*count` gets the number written.  Regions beyond it (the weakest) are left out. */
DN_API DN_CHECK_RESULT dn_status dn_localizer_boxes(dn_localizer *localizer, const float *map, int32_t width,
                                                    int32_t height, float threshold, dn_box *boxes, int32_t capacity,
                                                    int32_t *count);
/* Like dn_localizer_boxes, with options (NULL: the defaults). */
DN_API DN_CHECK_RESULT dn_status dn_localizer_find_boxes(dn_localizer *localizer, const float *map, int32_t width,
                                                         int32_t height, const dn_box_options *options, dn_box *boxes,
                                                         int32_t capacity, int32_t *count);
/* The threshold at which a share of `false_alarm_rate` (> 0 .. 1) of good images has a box at all: from the highest map
 * values of the good images that the model was made from, each by a density that has not seen it.  *kept (may be NULL):
 * the rate it keeps, as dn_score.false_alarm_rate.  For maps of DN_MAP_POSITIONS; DN_E_STATE for others, and if the model
 * does not hold those values. */
DN_API DN_CHECK_RESULT dn_status dn_localizer_threshold(dn_localizer *localizer, double false_alarm_rate,
                                                        float *threshold, double *kept);
DN_API const dn_error *dn_localizer_error(const dn_localizer *localizer);
DN_API void dn_localizer_free(dn_localizer *localizer); /* NULL is allowed */

/* ------------------------------------------------------------------------------------------------
 * Trainer
 */

typedef struct dn_trainer dn_trainer;

#define DN_PRESET_COMPACT 0 /* both densities; the flow with hidden 512: 18 million parameters (default) */
#define DN_PRESET_PAPER   1 /* the flow alone, hidden 2048: 172 million parameters; the paper's constant learning rate, no
                               noise, the map from the gradient */
#define DN_PRESET_FAST    2 /* the density at every position alone: trained in seconds, verdict and map from one pass */

/* How an image of another aspect is brought to the network's input, or to the tiles. */
#define DN_FIT_STRETCH   0 /* stretched to cover it */
#define DN_FIT_LETTERBOX 1 /* as large as it can be in its own aspect, in the middle; the rest is filled with the
                              backbone's mean colour, and counts in neither score nor map of the positions.  For images
                              of one aspect: what is free in some of them is not learned well */

/* Where scores of good images come from that were not learned from (docs/numerics.md, "What calibrates it").  It is the
 * flow that this is about: the density at every position, which is learned in seconds, is always cross-fitted. */
#define DN_CALIBRATION_AUTO  0 /* DN_CALIBRATION_CROSS where the share `holdout` of the images could not promise a
                                  false-alarm rate of 5 % (with a tenth: below 185 images), else DN_CALIBRATION_SPLIT */
#define DN_CALIBRATION_SPLIT 1 /* a share of the images is kept out of the flow's training */
#define DN_CALIBRATION_CROSS 2 /* all images are learned from, and all calibrate (of more than 128 all but 25 to 64): for
                                  each of `folds` parts a flow is trained without it, for as many steps, which scores
                                  it.  Takes folds + 1 trainings, from one bank */

#define DN_SCHEDULE_CONSTANT 0
#define DN_SCHEDULE_COSINE   1 /* a linear rise over the first 5 % of the steps, then half a cosine down to 0 */

/* Moved copies of good images, of which an image gets 2 to 16, fewer the more images there are.  They count as their
 * share of one image. */
#define DN_COPIES_AUTO   0 /* of 6 to 128 images: chosen by the likelihood of good ones that were kept out; else none */
#define DN_COPIES_NONE   1
#define DN_COPIES_SMALL  2 /* turned by 4 degrees and shifted by 1.5 % of the side at most */
#define DN_COPIES_MIRROR 3 /* left and right, above and below, or both exchanged */
#define DN_COPIES_TURN   4 /* turned by any angle */

/* Details: a second density at every position, of the maps of an earlier layer on a finer grid, whose distances are added
 * to those of the first: what is small stands out more.  It helps on parts in a fixed pose and harms on surfaces that
 * differ from image to image.  With the built-in backbone and others of AlexNet's layers, and one tile. */
#define DN_DETAILS_AUTO 0 /* where the parts lie in a fixed pose: told by 12 and more images, mirrored and turned */
#define DN_DETAILS_OFF  1
#define DN_DETAILS_ON   2 /* DN_E_ARGUMENT where there are none, or several tiles */

typedef struct dn_train_options {
    uint32_t struct_size;
    int32_t epochs;          /* 0 .. 1000000, default 64 (the paper: 192) */
    uint64_t seed;           /* of everything random, default 0 */
    int32_t hidden;          /* flow: 1 .. 16384, default 512 */
    int32_t blocks;          /* flow: 1 .. 64, default 8 */
    double clamp;            /* flow: > 0 .. 100, default 3 */
    int32_t batch_images;    /* images per step: 1 .. 1024, default 24 */
    int32_t batch_views;     /* views per image and step: 1 .. 64, default 4 */
    int32_t epoch_steps;     /* an epoch passes over the images again until it has made this many steps, so that few
                                images are trained on long enough: 1 (one pass) .. 100000, default 8 */
    int32_t bank;            /* views per image whose features are computed once and drawn from: 0 .. 4096, default
                                20; 0: fresh views for each step, as the paper does, much slower */
    int32_t standardize;     /* 1 (default): features to mean 0, deviation 1 before the flow; 0: as they are */
    int32_t schedule;        /* DN_SCHEDULE_... of the learning rate, default DN_SCHEDULE_COSINE */
    double learning_rate;    /* Adam, the schedule's highest: > 0 .. 1, default 1e-3 */
    double beta1, beta2;     /* Adam: 0 .. < 1, default 0.8, 0.8 */
    double epsilon;          /* Adam: > 0 .. 1, default 1e-4 */
    double weight_decay;     /* L2, added to the gradient: 0 .. 1, default 1e-5 */
    double feature_noise;    /* normal noise of deviation feature_noise / sqrt(images learned from) is added to each
                                step's standardised features: 0 (none) .. 100, default 2 */
    double brightness;       /* views' factor from [1 - v, 1 + v]: 0 .. 1, default 0 */
    double contrast;         /* likewise, about the view's mean gray, default 0 */
    double saturation;       /* likewise, about each pixel's gray, default 0 */
    double holdout;          /* share of the images kept out for p-values with DN_CALIBRATION_SPLIT: 0 .. 0.5, default
                                0.1; at least one image if it is > 0 and there are three or more; none with fewer */
    int32_t views;           /* default number of views the model scores with: 1 .. 1024, default 16 */
    int32_t angles;          /* DN_ANGLES_... the model scores with, default DN_ANGLES_STRATIFIED */
    int32_t heatmap_images;  /* good images (held-out ones first) that set the heat map's scale: 0 .. 1024, default
                                16 */
    int32_t threads;         /* 1 .. 256, default 1.  The model has the same bits for any value */
    const char *checkpoint;  /* path of a file to save the state to, so that training can go on; NULL (default): none.
                                The feature bank goes to the same path with ".bank" appended.  Copied. */
    int32_t checkpoint_epochs; /* save every so many epochs, after the last one and when training is cancelled:
                                1 .. 1000000, default 16 */
    int32_t resume;          /* 1: go on from `checkpoint` if there is one (it must fit images and options, else
                                DN_E_STATE), needs `checkpoint`; 0 (default): start anew */
    const dn_allocator *allocator; /* default NULL: malloc */
    const dn_runner *runner; /* what the `threads` jobs run on; default NULL: the library's own threads */
    int32_t preset;          /* DN_PRESET_... that the options come from, for the model to tell */
    int32_t flow;            /* 1 (default): the flow on pooled features is learned; 0: it is not */
    int32_t positions;       /* 1 (default): the density at every position is learned; 0: it is not.  At least one of
                                both has to be */
    int32_t position_dims;   /* dimensions that the feature maps are projected to: 1 .. 512, default 100 */
    int32_t light;           /* 1 (default): the density at every position also learns copies of the images, darker,
                                lighter, a little out of focus, noisy (one of each up to 32 images; two in all up to
                                128, then one), so that light and sensor raise no alarm; 0: the images alone */
    int32_t copies;          /* DN_COPIES_...: moved copies of the images that the density at every position learns, too;
                                default DN_COPIES_AUTO */
    int64_t max_pixels;      /* of files, as in dn_image_options: >= 1, default 64 x 2^20 */
    int64_t max_bytes;       /* likewise: >= 1, default 2^30 */
    int64_t max_memory;      /* likewise: >= 0, default 0 */
    int32_t calibration;     /* DN_CALIBRATION_...: which good images the flow's p-values come from, default
                                DN_CALIBRATION_AUTO */
    int32_t folds;           /* of cross-fitting: 2 .. 100, at most as many as there are images; 0 (default): 5 for the
                                flow; for the positions 20, up to 40 images one for each */
    int32_t tile_columns, tile_rows; /* how many tiles the density at every position cuts an image into, each as large
                                as the network's input, overlapping by a fifth: for images much larger than that, whose
                                defects would vanish when they are shrunk to it, and for images that are far from square.
                                1 .. 32, 32 in all, with at most 512 cells a side and 65536 in all (DN_E_LIMIT); default
                                1, 1: the whole image is one; 0, 0: as many as the size of the first image added asks
                                for, 6 at most.  With several tiles `copies` can only be DN_COPIES_NONE, which is
                                then what DN_COPIES_AUTO means */
    int32_t fit;             /* DN_FIT_..., default DN_FIT_STRETCH */
    int32_t duplicates;      /* 1 (default): images of equal pixels, or nearly so, count as one part
                                (dn_trainer_duplicate_of); 0: they are not looked for */
    int32_t range_low, range_high; /* values of 16-bit pixels that are black and white, 0 .. 65535, low below high: for
                                cameras of 12 bits in 16 (0, 4095) and thermal ones.  Of a file whose own white is less
                                (a PGM that says 4095, a TIFF of 12 bits) the values have become 0 .. 65535 before.  The
                                model keeps them for all that it does; what is outside is black or white.  0, 0
                                (default): the whole range */
    int32_t details;         /* DN_DETAILS_..., default DN_DETAILS_AUTO */
    int32_t reserved;        /* 0 */
} dn_train_options;
DN_API void dn_train_options_init_size(dn_train_options *options, size_t size);
#define dn_train_options_init(options) dn_train_options_init_size((options), sizeof *(options))
/* Sets the fields that a preset fixes.  DN_E_ARGUMENT for an unknown preset.
 *            epochs  hidden  epoch_steps  schedule  learning_rate  feature_noise  views  flow  positions
 * compact        64     512            8  cosine             1e-3              2     16     1          1
 * paper         192    2048            1  constant           2e-4              0     64     1          0
 * fast            0     512            8  cosine             1e-3              2     16     0          1 */
DN_API DN_CHECK_RESULT dn_status dn_train_options_preset(dn_train_options *options, int32_t preset);

/* Sets what a model tells of the options it was trained with, and what its preset fixes: to train one like it on other
 * images.  What a model does not tell stays as it is: of the flow's training all but what the preset fixes, the kinds of
 * copies in other light, paths, limits, threads.  DN_E_ARGUMENT for NULL, or a struct of an earlier version. */
DN_API DN_CHECK_RESULT dn_status dn_train_options_of_model(dn_train_options *options, const dn_model *model);

#define DN_PHASE_FEATURES 1 /* done, total: views.  Computing the feature bank */
#define DN_PHASE_TRAIN    2 /* done, total: epochs; told after each step.  `loss` is the last epoch's mean */
#define DN_PHASE_HOLDOUT  3 /* done, total: images.  Scoring the held-out images, and those of each fold */
#define DN_PHASE_HEATMAP  4 /* done, total: images.  Setting the heat map's scale */
#define DN_PHASE_MAPS     5 /* done, total: views.  Feature maps for the density at every position */
#define DN_PHASE_POSITIONS 6 /* done, total: fits of that density, to all images and to all but one fold's */
#define DN_PHASE_FOLDS    7 /* done, total: epochs of all the folds' flows together (cross-fitting); told after each step */
#define DN_PHASE_COPIES   8 /* done, total: views at most.  Choosing copies by trying them */

typedef struct dn_progress {
    uint32_t struct_size;
    int32_t phase;  /* DN_PHASE_... */
    int64_t done;
    int64_t total;
    double loss;    /* NaN where there is none yet */
} dn_progress;
/* Called on the thread that called dn_trainer_run.  Non-zero: stop (DN_E_CANCELLED). */
typedef int32_t (*dn_progress_fn)(const dn_progress *progress, void *user);

/* Starts the threads asked for.  DN_E_ARGUMENT also if neither density is to be learned, or the flow from an extractor
 * whose feature_dim is odd: it couples halves.  DN_E_LIMIT: too many tiles (tile_columns). */
DN_API DN_CHECK_RESULT dn_status dn_trainer_create(dn_extractor *extractor, const dn_train_options *options,
                                                   dn_trainer **out, dn_error *error);
/* A trainer with a model's backbone, mask and notes.  options NULL: those of dn_train_options_of_model.  It has learned
 * nothing: images that the model learned from are to be added, too, if they shall not be forgotten. */
DN_API DN_CHECK_RESULT dn_status dn_trainer_create_like(const dn_model *model, const dn_train_options *options,
                                                        dn_trainer **out, dn_error *error);
/* What counts in the images, these and all that the model will look at: mask and kind as in dn_scorer_set_mask; NULL:
 * everything.  It is copied, and the model keeps it: scores, maps, boxes, p-values and overlays of the model go by it.  The
 * density at every position learns from cells inside alone.  For the flow what does not count is painted in the backbone's
 * mean colour, in training as in scoring.  Which images are duplicates is told from what counts.  DN_E_STATE once an image
 * was added; an image of another aspect is DN_E_ARGUMENT when it is added. */
DN_API DN_CHECK_RESULT dn_status dn_trainer_set_mask(dn_trainer *trainer, const dn_pixels *mask, int32_t kind);
/* Adds a good image of at least DN_MIN_SIDE pixels each side by path.  The file is decoded now, so that a bad one is
 * found early (errors as in dn_image_open_path), and again when needed.  DN_E_STATE after the first dn_trainer_run. */
DN_API DN_CHECK_RESULT dn_status dn_trainer_add_path(dn_trainer *trainer, const char *path);
/* Likewise from memory; what is needed of the pixels is copied. */
DN_API DN_CHECK_RESULT dn_status dn_trainer_add_pixels(dn_trainer *trainer, const dn_pixels *image);
/* Images that are added from now on show the part of this name (UTF-8, not empty, copied): a burst of one camera, the
 * views of one piece.  A name may come back later.  NULL: each its own part, as at the beginning.  Images of one part are
 * on one side of every split and fold, and count once where p-values are told from: otherwise a part that is learned from
 * would vouch for itself.  DN_E_STATE after the first dn_trainer_run. */
DN_API DN_CHECK_RESULT dn_status dn_trainer_set_group(dn_trainer *trainer, const char *name);
/* Which earlier image the image number `image` (0, 1, ... in order of addition) is a duplicate of, and so of the same part as;
 * -1: of none, or dn_trainer_run was not called yet.  kind (may be NULL): DN_DUPLICATE_EQUAL (equal pixels) or DN_DUPLICATE_NEAR (equal
 * but for noise, light and compression; docs/training.md), 0 without one. */
#define DN_DUPLICATE_EQUAL 1
#define DN_DUPLICATE_NEAR  2
DN_API int32_t dn_trainer_duplicate_of(const dn_trainer *trainer, int32_t image, int32_t *kind);

typedef struct dn_trainer_info {
    uint32_t struct_size;
    int32_t images;   /* that were added */
    int32_t parts;    /* that they show; these three are 0 before the first dn_trainer_run */
    int32_t duplicates; /* images that are duplicates of earlier ones */
    int32_t adjacent; /* images whose nearest one, by their thumbnails, was added right before or after them; by chance that is
                         about 2.  Many more: neighbours show the same part (dn_trainer_set_group), or they were taken in an
                         order that says what is alike.  0 where `duplicates` of the options is 0 */
    int32_t reserved;
} dn_trainer_info;
DN_API void dn_trainer_info_init_size(dn_trainer_info *info, size_t size);
#define dn_trainer_info_init(info) dn_trainer_info_init_size((info), sizeof *(info))
DN_API DN_CHECK_RESULT dn_status dn_trainer_get_info(const dn_trainer *trainer, dn_trainer_info *info);
/* A note for the models that the trainer makes, such as the part, the camera, the operator (dn_model_note).  One of the
 * same key is replaced.  Printable UTF-8 without control characters; key: 1 .. DN_NOTE_KEY_BYTES bytes, no "="; value: up
 * to DN_NOTE_VALUE_BYTES bytes; up to DN_NOTES of them: else DN_E_ARGUMENT, and the notes stay as they were. */
DN_API DN_CHECK_RESULT dn_status dn_trainer_note(dn_trainer *trainer, const char *key, const char *value);
/* Trains (paper section 3.2, equation 3) and makes a model.  progress: may be NULL.
 * DN_E_STATE: no images, a file that changed since it was added, or a checkpoint that does not fit.
 * DN_E_CANCELLED: the state is kept (and saved, if training has begun and there is a checkpoint path); a further call
 * goes on.
 * DN_E_NUMERIC: NaN or infinity came up; the weights of the last good epoch are kept, see dn_trainer_model.
 * Errors of the images' files and the checkpoint's (DN_E_IO, DN_E_FORMAT, DN_E_KIND, DN_E_VERSION, ...) as well. */
DN_API DN_CHECK_RESULT dn_status dn_trainer_run(dn_trainer *trainer, dn_progress_fn progress, void *user,
                                                dn_model **out);
/* A model from the last epoch that went well, after dn_trainer_run failed or was cancelled (DN_E_STATE if there is
 * none).  Held-out images are scored as usual. */
DN_API DN_CHECK_RESULT dn_status dn_trainer_model(dn_trainer *trainer, dn_model **out);
/* Text `index` (0, 1, ...) of what should be looked at in the images added so far: 16-bit ones that use less than a
 * quarter of their range, with the range_low and range_high that would do; or whose values all lie beside the range that
 * was asked for.  NULL: there are no more.  Lives until the next call on the trainer; NULL, too, while another call is in
 * progress. */
DN_API const char *dn_trainer_advice(dn_trainer *trainer, int32_t index);
DN_API const dn_error *dn_trainer_error(const dn_trainer *trainer);
DN_API void dn_trainer_free(dn_trainer *trainer); /* NULL is allowed */

#ifdef __cplusplus
}
#endif

#endif /* DIFFERNET_H */
