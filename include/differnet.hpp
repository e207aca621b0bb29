// libdifferent from C++17: differnet.h with handles that release themselves, and exceptions.  Header only.
//
//     differnet::model model = differnet::model::open("part.dnm");
//     differnet::scorer scorer(model);
//     differnet::score score = scorer.score(differnet::pixel_view(buffer, 1280, 1024, DN_GRAY8));
//     if (score.anomalous == 1)
//         eject_part();
//
// Each function is one call of the C function that it is named after (model::open: dn_model_open_path); what it does,
// ranges, shapes and errors are told there.  What is different:
// - A call that fails throws differnet::error.
// - Option and output structs are those of differnet.h, and set up when they are made.
// - model, extractor and flow are shared: a copy is another reference to the same object.  All other handles move only.
//   One that was moved from, or made by default, is empty: only destroying it and assigning to it are of use, as it
//   stands for NULL, and calls throw DN_E_ARGUMENT.
// - Callables (progress, runner) run where their C callbacks do.  An exception that leaves one ends the call, which
//   throws it; the handle stays as valid as after DN_E_CANCELLED.
// - Pixels, arrays and paths are views: nothing is copied, and nothing is allocated beyond what the C function does.
// Constants (DN_GRAY8, DN_PRESET_FAST, DN_E_IO ...) are those of differnet.h.
#ifndef DIFFERNET_HPP
#define DIFFERNET_HPP

#include <cstdint>
#include <exception>
#include <limits>
#include <memory>
#include <type_traits>
#include <utility>

#include "differnet.h"

namespace differnet {

// What a failed call throws.  Copying it allocates nothing and does not throw.
class error : public std::exception {
public:
    explicit error(const dn_error &detail) noexcept : detail_(detail) {}
    error(dn_status status, const char *message) noexcept : detail_{status, {}}
    {
        for (std::size_t i = 0; i + 1 < sizeof detail_.message && message[i] != '\0'; i++)
            detail_.message[i] = message[i];
    }
    dn_status status() const noexcept // DN_E_...
    {
        return detail_.status;
    }
    const char *what() const noexcept override // UTF-8: what, which file, what to do
    {
        return detail_.message[0] != '\0' ? detail_.message : dn_status_string(detail_.status);
    }

private:
    dn_error detail_;
};

// Elements of somebody else's array: what std::span is from C++20 on.
template <class T> class span {
public:
    constexpr span() noexcept = default;
    constexpr span(T *data, std::size_t size) noexcept : data_(data), size_(size) {}
    template <class U, std::size_t N, class = std::enable_if_t<std::is_convertible_v<U *, T *>>>
    constexpr span(U (&array)[N]) noexcept : data_(array), size_(N)
    {
        static_assert(sizeof(U) == sizeof(T), "elements of another size");
    }
    // Anything with data() and size(): vector, array, string, std::span.
    template <class C, class = std::enable_if_t<!std::is_same_v<std::decay_t<C>, span> &&
                                                std::is_convertible_v<decltype(std::declval<C &>().data()), T *>>>
    constexpr span(C &&container) noexcept : data_(container.data()), size_(container.size())
    {
        static_assert(sizeof(*container.data()) == sizeof(T), "elements of another size");
    }
    constexpr T *data() const noexcept
    {
        return data_;
    }
    constexpr std::size_t size() const noexcept
    {
        return size_;
    }
    constexpr bool empty() const noexcept
    {
        return size_ == 0;
    }
    constexpr T &operator[](std::size_t i) const
    {
        return data_[i];
    }
    constexpr T *begin() const noexcept
    {
        return data_;
    }
    constexpr T *end() const noexcept
    {
        return data_ + size_;
    }

private:
    T *data_ = nullptr;
    std::size_t size_ = 0;
};

// Bytes of a file in memory.
struct bytes_view {
    const void *data;
    std::size_t size;

    bytes_view(const void *first, std::size_t count) noexcept : data(first), size(count) {}
    template <class C, class = std::enable_if_t<sizeof(*std::declval<const C &>().data()) == 1>>
    bytes_view(const C &container) noexcept : data(container.data()), size(container.size())
    {
    }
};

// A path: const char *, or anything whose c_str() is one (std::string, std::filesystem::path where its characters are
// bytes).
class path_view {
public:
    path_view(const char *path) noexcept : path_(path) {}
    template <class S, class = std::enable_if_t<std::is_convertible_v<decltype(std::declval<const S &>().c_str()), const char *>>>
    path_view(const S &path) noexcept : path_(path.c_str())
    {
    }
    const char *c_str() const noexcept
    {
        return path_;
    }

private:
    const char *path_;
};

// ---- structs of differnet.h, set up ----

struct pixel_view : dn_pixels {
    // stride: bytes from one row to the next; 0: tightly packed.
    pixel_view(const void *top_row, std::int32_t columns, std::int32_t rows, std::int32_t pixel_format,
               std::int64_t row_stride = 0) noexcept
        : dn_pixels{top_row, columns, rows, row_stride, pixel_format, 0}
    {
    }
    pixel_view(const dn_pixels &view) noexcept : dn_pixels(view) {}
    std::size_t area() const noexcept // pixels; 0 where a side is negative
    {
        return width > 0 && height > 0 ? static_cast<std::size_t>(width) * static_cast<std::size_t>(height) : 0;
    }
};

// Wraps a struct that its init function sets up.
template <class Struct, void (*Init)(Struct *, std::size_t)> struct initialised : Struct {
    initialised() noexcept
    {
        Init(this, sizeof(Struct));
    }
};

using image_options = initialised<dn_image_options, dn_image_options_init_size>;
using extractor_options = initialised<dn_extractor_options, dn_extractor_options_init_size>;
using extractor_info = initialised<dn_extractor_info, dn_extractor_info_init_size>;
using maps_info = initialised<dn_maps_info, dn_maps_info_init_size>;
using flow_options = initialised<dn_flow_options, dn_flow_options_init_size>;
using model_options = initialised<dn_model_options, dn_model_options_init_size>;
using model_info = initialised<dn_model_info, dn_model_info_init_size>;
using scorer_options = initialised<dn_scorer_options, dn_scorer_options_init_size>;
using score = initialised<dn_score, dn_score_init_size>;
using monitor_options = initialised<dn_monitor_options, dn_monitor_options_init_size>;
using monitor_state = initialised<dn_monitor_state, dn_monitor_state_init_size>;
using calibrator_options = initialised<dn_calibrator_options, dn_calibrator_options_init_size>;
using calibrator_info = initialised<dn_calibrator_info, dn_calibrator_info_init_size>;
using localizer_options = initialised<dn_localizer_options, dn_localizer_options_init_size>;
using box_options = initialised<dn_box_options, dn_box_options_init_size>;
using trainer_info = initialised<dn_trainer_info, dn_trainer_info_init_size>;
using progress = dn_progress;
using box = dn_box;

// ---- what stands between the calls and their callers ----

namespace detail {

// The exception that a callable threw during the call in progress on this thread.
inline std::exception_ptr &thrown() noexcept
{
    static thread_local std::exception_ptr pending;
    return pending;
}

// Runs a callable, out of which no exception may come; false if one did, which is kept for finish().
template <class F> bool guarded(F &&callable) noexcept
{
    try {
        callable();
        return true;
    } catch (...) {
        if (!thrown())
            thrown() = std::current_exception();
        return false;
    }
}

inline void check(dn_status status, const dn_error *cause)
{
    if (status == DN_OK)
        return;
    if (cause && cause->status == status)
        throw error(*cause);
    throw error(status, dn_status_string(status));
}

// Like check, for calls that may have run a callable.  It may throw after DN_OK, too: own what the call made before.
inline void finish(dn_status status, const dn_error *cause)
{
    if (thrown())
        std::rethrow_exception(std::exchange(thrown(), nullptr));
    check(status, cause);
}

// An array's size as the C functions take it.
inline std::int32_t count(std::size_t size)
{
    if (size > static_cast<std::size_t>((std::numeric_limits<std::int32_t>::max)())) // not windows.h's
        throw error(DN_E_ARGUMENT, "an array of more than 2147483647 elements");
    return static_cast<std::int32_t>(size);
}

// Throws unless an array has rows x columns elements.
inline void require_size(std::size_t size, std::size_t rows, std::size_t columns, const char *message)
{
    if (columns == 0 ? size != 0 : size / columns != rows || size % columns != 0)
        throw error(DN_E_ARGUMENT, message);
}

// A handle with one owner.
template <class Handle, void (*Release)(Handle *)> class owner {
public:
    owner() noexcept = default;
    explicit owner(Handle *handle) noexcept : handle_(handle) {} // takes it over
    owner(owner &&other) noexcept : handle_(other.release()) {}
    owner &operator=(owner &&other) noexcept
    {
        if (this != &other)
            reset(other.release());
        return *this;
    }
    owner(const owner &) = delete;
    owner &operator=(const owner &) = delete;
    ~owner()
    {
        reset();
    }
    Handle *get() const noexcept // for calls of differnet.h
    {
        return handle_;
    }
    Handle *release() noexcept // the caller's from now on
    {
        return std::exchange(handle_, nullptr);
    }
    void reset(Handle *handle = nullptr) noexcept
    {
        if (Handle *old = std::exchange(handle_, handle))
            Release(old);
    }
    explicit operator bool() const noexcept
    {
        return handle_ != nullptr;
    }

private:
    Handle *handle_ = nullptr;
};

// A counted handle: copies share it.
template <class Handle, Handle *(*Ref)(Handle *), void (*Unref)(Handle *)>
class shared : public owner<Handle, Unref> {
public:
    shared() noexcept = default;
    explicit shared(Handle *handle) noexcept : owner<Handle, Unref>(handle) {} // takes the reference over
    shared(shared &&) noexcept = default;
    shared &operator=(shared &&) noexcept = default;
    shared(const shared &other) noexcept : owner<Handle, Unref>(other ? Ref(other.get()) : nullptr) {}
    shared &operator=(const shared &other) noexcept
    {
        this->reset(other ? Ref(other.get()) : nullptr);
        return *this;
    }
};

} // namespace detail

// ---- the library ----

inline const char *version() noexcept // "major.minor.patch" of the library that runs
{
    return dn_version();
}

inline const char *warning_text(std::uint32_t warning) noexcept // DN_WARN_...
{
    return dn_warning_text(warning);
}

inline void blas_set_threads(std::int32_t threads)
{
    detail::check(dn_blas_set_threads(threads), nullptr);
}

inline std::int32_t blas_threads() noexcept
{
    return dn_blas_threads();
}

inline const char *blas_corename() noexcept
{
    return dn_blas_corename();
}

// The host's threads for a handle's work (dn_runner): options.runner = &runner.  callable(job, jobs) calls job(0) ...
// job(jobs - 1), each exactly once, and returns, or throws, when all that it has begun have returned.  Callable and
// runner must outlive the handle.
class job {
public:
    job(dn_job_fn function, void *context) noexcept : function_(function), context_(context) {}
    void operator()(std::int32_t index) const
    {
        function_(context_, index);
    }

private:
    dn_job_fn function_;
    void *context_;
};

template <class F> dn_runner make_runner(F &callable) noexcept
{
    dn_runner runner;
    runner.run = [](dn_job_fn function, void *context, std::int32_t jobs, void *user) {
        detail::guarded([&] { (*static_cast<F *>(user))(job(function, context), jobs); });
    };
    runner.user = const_cast<void *>(static_cast<const void *>(std::addressof(callable)));
    return runner;
}

// A file in memory that the library made.
class blob : public detail::owner<dn_blob, dn_blob_free> {
public:
    using owner::owner;
    const void *data() const noexcept
    {
        return dn_blob_data(get());
    }
    std::size_t size() const noexcept
    {
        return dn_blob_size(get());
    }
    operator bytes_view() const noexcept
    {
        return bytes_view(data(), size());
    }
};

// A decoded image file.
class image : public detail::owner<dn_image, dn_image_free> {
public:
    using owner::owner;
    static image open(path_view path, const image_options &options = {})
    {
        dn_image *out = nullptr;
        dn_error cause;
        detail::check(dn_image_open_path(path.c_str(), &options, &out, &cause), &cause);
        return image(out);
    }
    static image open_memory(bytes_view bytes, const image_options &options = {})
    {
        dn_image *out = nullptr;
        dn_error cause;
        detail::check(dn_image_open_memory(bytes.data, bytes.size, &options, &out, &cause), &cause);
        return image(out);
    }
    pixel_view pixels() const noexcept // lives as long as the image
    {
        dn_pixels view;
        dn_image_pixels(get(), &view);
        return view;
    }
    operator pixel_view() const noexcept
    {
        return pixels();
    }
    static const char *ending(std::int32_t index) noexcept // ".png" ...; nullptr: no more of them
    {
        return dn_image_ending(index);
    }
};

inline void write_png(const pixel_view &view, path_view path)
{
    dn_error cause;
    detail::check(dn_image_write_png(&view, path.c_str(), &cause), &cause);
}

inline blob encode_png(const pixel_view &view)
{
    dn_blob *out = nullptr;
    dn_error cause;
    detail::check(dn_image_encode_png(&view, &out, &cause), &cause);
    return blob(out);
}

// map: (height, width); rgb: (height, width, 3).
inline void overlay(const pixel_view &view, span<const float> map, span<std::uint8_t> rgb, float full = 0)
{
    dn_error cause;
    detail::require_size(map.size(), view.area(), 1, "overlay: the map has not the image's size");
    detail::require_size(rgb.size(), view.area(), 3, "overlay: rgb has not three bytes for each of the image's pixels");
    detail::check(dn_image_overlay(&view, map.data(), full, rgb.data(), &cause), &cause);
}

// The frozen network.
class extractor : public detail::shared<dn_extractor, dn_extractor_ref, dn_extractor_unref> {
public:
    using shared::shared;
    static extractor open(path_view path, const extractor_options &options = {})
    {
        dn_extractor *out = nullptr;
        dn_error cause;
        detail::check(dn_extractor_open_path(path.c_str(), &options, &out, &cause), &cause);
        return extractor(out);
    }
    static extractor open_memory(bytes_view bytes, const extractor_options &options = {})
    {
        dn_extractor *out = nullptr;
        dn_error cause;
        detail::check(dn_extractor_open_memory(bytes.data, bytes.size, &options, &out, &cause), &cause);
        return extractor(out);
    }
    // The built-in backbone (dn_extractor_default).
    static extractor built_in(const extractor_options &options = {})
    {
        dn_extractor *out = nullptr;
        dn_error cause;
        detail::check(dn_extractor_default(&options, &out, &cause), &cause);
        return extractor(out);
    }
    // channels: 5 numbers, or none for AlexNet's own.
    static extractor random(span<const std::int32_t> channels, std::uint64_t seed, const extractor_options &options = {})
    {
        dn_extractor *out = nullptr;
        dn_error cause;
        if (!channels.empty())
            detail::require_size(channels.size(), 5, 1, "extractor::random: 5 numbers of channels, or none");
        detail::check(dn_extractor_random(channels.data(), seed, &options, &out, &cause), &cause);
        return extractor(out);
    }
    void save(path_view path, std::int32_t storage = DN_STORAGE_F32) const
    {
        dn_error cause;
        detail::check(dn_extractor_save(get(), path.c_str(), storage, &cause), &cause);
    }
    blob save_memory(std::int32_t storage = DN_STORAGE_F32) const
    {
        dn_blob *out = nullptr;
        dn_error cause;
        detail::check(dn_extractor_save_memory(get(), storage, &out, &cause), &cause);
        return blob(out);
    }
    extractor_info info() const
    {
        extractor_info out;
        detail::check(dn_extractor_get_info(get(), &out), nullptr);
        return out;
    }
    differnet::maps_info maps_info() const
    {
        differnet::maps_info out;
        detail::check(dn_extractor_get_maps_info(get(), &out), nullptr);
        return out;
    }
    const char *tap_name(std::int32_t tap) const noexcept // nullptr: out of range
    {
        return dn_extractor_tap_name(get(), tap);
    }
    const char *map_name(std::int32_t tap) const noexcept // nullptr: out of range
    {
        return dn_extractor_map_name(get(), tap);
    }
    // Key and value of entry `index` of what the file tells about itself; {nullptr, nullptr}: no more of them.
    std::pair<const char *, const char *> metadata(std::int32_t index) const noexcept
    {
        const char *value = nullptr;
        const char *key = dn_extractor_metadata(get(), index, &value);
        return {key, key ? value : nullptr};
    }
    // views: (angles, height, width, 3).
    void views(const pixel_view &view, span<const double> angles, span<float> views) const
    {
        dn_error cause;
        detail::require_size(views.size(), angles.size(), view_size(), "extractor::views: views of another size");
        detail::check(dn_extractor_views(get(), &view, angles.data(), detail::count(angles.size()), views.data(), &cause),
                      &cause);
    }
    // views: (n, height, width, 3); features: (n, feature_dim).
    void features(span<const float> views, span<float> features) const
    {
        dn_error cause;
        std::size_t n = features.size() / feature_dim();
        detail::require_size(features.size(), n, feature_dim(), "extractor::features: features of another size");
        detail::require_size(views.size(), n, view_size(), "extractor::features: views of another size");
        detail::check(dn_extractor_features(get(), views.data(), detail::count(n), features.data(), &cause), &cause);
    }
    // features: (angles, feature_dim).
    void features(const pixel_view &view, span<const double> angles, span<float> features) const
    {
        dn_error cause;
        detail::require_size(features.size(), angles.size(), feature_dim(), "extractor::features: features of another size");
        detail::check(dn_extractor_features_image(get(), &view, angles.data(), detail::count(angles.size()), features.data(),
                                                  &cause),
                      &cause);
    }
    // views, pixel_gradient: (n, height, width, 3); feature_gradient: (n, feature_dim).
    void gradient(span<const float> views, span<const float> feature_gradient, span<float> pixel_gradient) const
    {
        dn_error cause;
        std::size_t n = feature_gradient.size() / feature_dim();
        detail::require_size(feature_gradient.size(), n, feature_dim(), "extractor::gradient: features of another size");
        detail::require_size(views.size(), n, view_size(), "extractor::gradient: views of another size");
        detail::require_size(pixel_gradient.size(), n, view_size(), "extractor::gradient: pixel_gradient of another size");
        detail::check(dn_extractor_gradient(get(), views.data(), detail::count(n), feature_gradient.data(),
                                            pixel_gradient.data(), &cause),
                      &cause);
    }
    // views: (n, height, width, 3); maps: (n, rows, columns, channels).
    void maps(span<const float> views, span<float> maps) const
    {
        dn_error cause;
        const differnet::maps_info grid = maps_info();
        std::size_t n = views.size() / view_size();
        std::size_t map_size = static_cast<std::size_t>(grid.rows) * static_cast<std::size_t>(grid.columns) *
                               static_cast<std::size_t>(grid.channels);
        detail::require_size(views.size(), n, view_size(), "extractor::maps: views of another size");
        detail::require_size(maps.size(), n, map_size, "extractor::maps: maps of another size");
        detail::check(dn_extractor_maps(get(), views.data(), detail::count(n), maps.data(), &cause), &cause);
    }

private:
    std::size_t feature_dim() const
    {
        return static_cast<std::size_t>(info().feature_dim);
    }
    std::size_t view_size() const
    {
        const extractor_info told = info();
        return static_cast<std::size_t>(told.input_size) * static_cast<std::size_t>(told.input_height) * 3;
    }
};

// The normalizing flow on pooled features.
class flow : public detail::shared<dn_flow, dn_flow_ref, dn_flow_unref> {
public:
    using shared::shared;
    static flow create(const flow_options &options = {})
    {
        dn_flow *out = nullptr;
        dn_error cause;
        detail::check(dn_flow_create(&options, &out, &cause), &cause);
        return flow(out);
    }
    static flow open(path_view path, const dn_allocator *allocator = nullptr)
    {
        dn_flow *out = nullptr;
        dn_error cause;
        detail::check(dn_flow_open_path(path.c_str(), allocator, &out, &cause), &cause);
        return flow(out);
    }
    static flow open_memory(bytes_view bytes, const dn_allocator *allocator = nullptr)
    {
        dn_flow *out = nullptr;
        dn_error cause;
        detail::check(dn_flow_open_memory(bytes.data, bytes.size, allocator, &out, &cause), &cause);
        return flow(out);
    }
    void save(path_view path) const
    {
        dn_error cause;
        detail::check(dn_flow_save(get(), path.c_str(), &cause), &cause);
    }
    blob save_memory() const
    {
        dn_blob *out = nullptr;
        dn_error cause;
        detail::check(dn_flow_save_memory(get(), &out, &cause), &cause);
        return blob(out);
    }
    flow_options info() const
    {
        flow_options out;
        detail::check(dn_flow_get_info(get(), &out), nullptr);
        return out;
    }
    // x, z: (n, dimension); logdet: (n), or empty.
    void forward(span<const float> x, span<float> z, span<float> logdet = {}) const
    {
        dn_error cause;
        std::size_t n = rows(x.size());
        detail::require_size(z.size(), x.size(), 1, "flow::forward: x and z of different sizes");
        if (!logdet.empty())
            detail::require_size(logdet.size(), n, 1, "flow::forward: logdet of another size");
        detail::check(dn_flow_forward(get(), x.data(), detail::count(n), z.data(), logdet.data(), &cause), &cause);
    }
    // z, x: (n, dimension).
    void inverse(span<const float> z, span<float> x) const
    {
        dn_error cause;
        detail::require_size(x.size(), z.size(), 1, "flow::inverse: z and x of different sizes");
        detail::check(dn_flow_inverse(get(), z.data(), detail::count(rows(z.size())), x.data(), &cause), &cause);
    }
    // x: (n, dimension).
    void sample(std::uint64_t seed, span<float> x) const
    {
        dn_error cause;
        detail::check(dn_flow_sample(get(), seed, detail::count(rows(x.size())), x.data(), &cause), &cause);
    }
    // x: (n, dimension); log_likelihood: (n).
    void log_likelihood(span<const float> x, span<double> log_likelihood) const
    {
        dn_error cause;
        std::size_t n = rows(x.size());
        detail::require_size(log_likelihood.size(), n, 1, "flow::log_likelihood: one number for each row");
        detail::check(dn_flow_log_likelihood(get(), x.data(), detail::count(n), log_likelihood.data(), &cause), &cause);
    }
    // x, z_gradient, x_gradient: (n, dimension); logdet_gradient: (n), or empty for zeros.
    void gradient(span<const float> x, span<const float> z_gradient, span<const float> logdet_gradient,
                  span<float> x_gradient) const
    {
        dn_error cause;
        std::size_t n = rows(x.size());
        detail::require_size(z_gradient.size(), x.size(), 1, "flow::gradient: x and z_gradient of different sizes");
        detail::require_size(x_gradient.size(), x.size(), 1, "flow::gradient: x and x_gradient of different sizes");
        if (!logdet_gradient.empty())
            detail::require_size(logdet_gradient.size(), n, 1, "flow::gradient: logdet_gradient of another size");
        detail::check(dn_flow_gradient(get(), x.data(), detail::count(n), z_gradient.data(), logdet_gradient.data(),
                                       x_gradient.data(), &cause),
                      &cause);
    }

private:
    std::size_t rows(std::size_t size) const
    {
        std::size_t dimension = static_cast<std::size_t>(info().dimension);
        detail::require_size(size, size / dimension, dimension, "flow: an array that is not (n, dimension)");
        return size / dimension;
    }
};

// Everything needed to score.
class model : public detail::shared<dn_model, dn_model_ref, dn_model_unref> {
public:
    using shared::shared;
    static model open(path_view path, const model_options &options = {})
    {
        dn_model *out = nullptr;
        dn_error cause;
        detail::check(dn_model_open_path(path.c_str(), &options, &out, &cause), &cause);
        return model(out);
    }
    static model open_memory(bytes_view bytes, const model_options &options = {})
    {
        dn_model *out = nullptr;
        dn_error cause;
        detail::check(dn_model_open_memory(bytes.data, bytes.size, &options, &out, &cause), &cause);
        return model(out);
    }
    void save(path_view path, std::int32_t storage = DN_STORAGE_F32) const
    {
        dn_error cause;
        detail::check(dn_model_save(get(), path.c_str(), storage, &cause), &cause);
    }
    blob save_memory(std::int32_t storage = DN_STORAGE_F32) const
    {
        dn_blob *out = nullptr;
        dn_error cause;
        detail::check(dn_model_save_memory(get(), storage, &out, &cause), &cause);
        return blob(out);
    }
    model_info info() const
    {
        model_info out;
        detail::check(dn_model_get_info(get(), &out), nullptr);
        return out;
    }
    // Like differnet::overlay, with 16-bit pixels shown in the model's range.
    void overlay(const pixel_view &view, span<const float> map, span<std::uint8_t> rgb, float full = 0) const
    {
        dn_error cause;
        detail::require_size(map.size(), view.area(), 1, "model::overlay: the map has not the image's size");
        detail::require_size(rgb.size(), view.area(), 3, "model::overlay: rgb has not three bytes for each of the pixels");
        detail::check(dn_model_overlay(get(), &view, map.data(), full, rgb.data(), &cause), &cause);
    }
    // Arrays of the model's, which live as long as it.
    span<const double> holdout_scores() const noexcept
    {
        std::int32_t size = 0;
        const double *scores = dn_model_holdout_scores(get(), &size);
        return {scores, static_cast<std::size_t>(size)};
    }
    // Key and value of note 0, 1, ...; null if there are no more.
    std::pair<const char *, const char *> note(std::int32_t index) const noexcept
    {
        const char *value = nullptr, *key = dn_model_note(get(), index, &value);
        return {key, value};
    }
    // Name and threshold of operating point 0, 1, ...; null if there are no more.
    std::pair<const char *, double> operating_point(std::int32_t index) const noexcept
    {
        double threshold = 0;
        const char *name = dn_model_operating_point(get(), index, &threshold);
        return {name, threshold};
    }
    span<const float> feature_mean() const // empty without a flow
    {
        return features(dn_model_feature_mean(get()));
    }
    span<const float> feature_deviation() const // likewise
    {
        return features(dn_model_feature_deviation(get()));
    }
    differnet::extractor extractor() const
    {
        return differnet::extractor(dn_extractor_ref(dn_model_extractor(get())));
    }
    differnet::flow flow() const // empty if the model holds none
    {
        dn_flow *own = dn_model_flow(get());
        return differnet::flow(own ? dn_flow_ref(own) : nullptr);
    }

private:
    span<const float> features(const float *values) const
    {
        return {values, values ? static_cast<std::size_t>(info().feature_dim) : 0};
    }
};

// Image -> score, p-value, verdict.  One call at a time.
class scorer : public detail::owner<dn_scorer, dn_scorer_free> {
public:
    using owner::owner;
    explicit scorer(const model &of, const scorer_options &options = {})
    {
        dn_scorer *out = nullptr;
        dn_error cause;
        dn_status status = dn_scorer_create(of.get(), &options, &out, &cause);
        reset(out);
        detail::finish(status, &cause);
    }
    // From the next score on.
    void set_false_alarm_rate(double rate)
    {
        finish(dn_scorer_set_false_alarm_rate(get(), rate));
    }
    void set_threshold(double threshold)
    {
        finish(dn_scorer_set_threshold(get(), threshold));
    }
    // What counts in the images to come: what is bright in a mask of their aspect (DN_MASK_INCLUDE), or is not
    // (DN_MASK_IGNORE), within the model's own mask if it has one.
    void set_mask(const pixel_view &mask, std::int32_t kind = DN_MASK_INCLUDE)
    {
        finish(dn_scorer_set_mask(get(), &mask, kind));
    }
    void clear_mask()
    {
        finish(dn_scorer_set_mask(get(), nullptr, DN_MASK_INCLUDE));
    }
    differnet::score score(const pixel_view &view)
    {
        differnet::score out;
        finish(dn_scorer_score(get(), &view, &out));
        return out;
    }
    differnet::score score(path_view path)
    {
        differnet::score out;
        finish(dn_scorer_score_path(get(), path.c_str(), &out));
        return out;
    }
    void set_operating_point(const char *name) // dn_model_operating_point
    {
        finish(dn_scorer_set_operating_point(get(), name));
    }
    // Ends as soon as the verdict is certain.
    differnet::score decide(const pixel_view &view)
    {
        differnet::score out;
        finish(dn_scorer_decide(get(), &view, &out));
        return out;
    }
    differnet::score decide(path_view path)
    {
        differnet::score out;
        finish(dn_scorer_decide_path(get(), path.c_str(), &out));
        return out;
    }
    // Verdict and map from one pass.  map: (height, width).
    differnet::score inspect(const pixel_view &view, span<float> map)
    {
        differnet::score out;
        detail::require_size(map.size(), view.area(), 1, "scorer::inspect: the map has not the image's size");
        finish(dn_scorer_inspect(get(), &view, map.data(), &out));
        return out;
    }
    // Scores many images.  Throws if one of them cannot be scored; the others are, as scores[i] tells.
    void score_batch(span<const dn_pixels> images, span<differnet::score> scores)
    {
        require_same(images.size(), scores.size(), scores.size());
        finish(dn_scorer_score_batch(get(), images.data(), detail::count(images.size()), scores.data(), nullptr));
    }
    void score_batch(span<const char *const> paths, span<differnet::score> scores)
    {
        require_same(paths.size(), scores.size(), scores.size());
        finish(dn_scorer_score_batch_paths(get(), paths.data(), detail::count(paths.size()), scores.data(), nullptr));
    }
    // Likewise, but the status of errors[i] is DN_OK where scores[i] was written, and tells why where it was not.
    // Returns DN_OK, or the status of the first that was not scored.
    dn_status score_batch(span<const dn_pixels> images, span<differnet::score> scores, span<dn_error> errors)
    {
        require_same(images.size(), scores.size(), errors.size());
        return passed_on(dn_scorer_score_batch(get(), images.data(), detail::count(images.size()), scores.data(),
                                               errors.data()));
    }
    dn_status score_batch(span<const char *const> paths, span<differnet::score> scores, span<dn_error> errors)
    {
        require_same(paths.size(), scores.size(), errors.size());
        return passed_on(dn_scorer_score_batch_paths(get(), paths.data(), detail::count(paths.size()), scores.data(),
                                                     errors.data()));
    }
    std::int32_t batch_images() const noexcept
    {
        return dn_scorer_batch_images(get());
    }
    span<const double> view_scores() const noexcept // of the last image; until the next call
    {
        std::int32_t size = 0;
        const double *scores = dn_scorer_view_scores(get(), &size);
        return {scores, static_cast<std::size_t>(size)};
    }

private:
    static_assert(sizeof(differnet::score) == sizeof(dn_score), "an array of score is one of dn_score");

    void finish(dn_status status) const
    {
        detail::finish(status, dn_scorer_error(get()));
    }
    static dn_status passed_on(dn_status status)
    {
        detail::finish(DN_OK, nullptr);
        return status;
    }
    static void require_same(std::size_t images, std::size_t scores, std::size_t errors)
    {
        if (images != scores || images != errors)
            throw error(DN_E_ARGUMENT, "scorer::score_batch: arrays of different sizes");
    }
};

// Whether p-values still are those of good images.  One call at a time.
class monitor : public detail::owner<dn_monitor, dn_monitor_free> {
public:
    using owner::owner;
    explicit monitor(const monitor_options &options)
    {
        dn_monitor *out = nullptr;
        dn_error cause;
        detail::check(dn_monitor_create(&options, &out, &cause), &cause);
        reset(out);
    }
    monitor_state add(double p_value)
    {
        finish(dn_monitor_add(get(), p_value));
        return state();
    }
    monitor_state state()
    {
        monitor_state out;
        finish(dn_monitor_get_state(get(), &out));
        return out;
    }
    void begin_anew() // dn_monitor_reset
    {
        finish(dn_monitor_reset(get()));
    }

private:
    void finish(dn_status status) const
    {
        detail::check(status, dn_monitor_error(get()));
    }
};

// Good images -> a model with other verdicts.  One call at a time.
class calibrator : public detail::owner<dn_calibrator, dn_calibrator_free> {
public:
    using owner::owner;
    explicit calibrator(const differnet::model &of, const calibrator_options &options = {})
    {
        dn_calibrator *out = nullptr;
        dn_error cause;
        dn_status status = dn_calibrator_create(of.get(), &options, &out, &cause);
        reset(out);
        detail::finish(status, &cause);
    }
    differnet::score add(const pixel_view &view)
    {
        differnet::score out;
        finish(dn_calibrator_add_pixels(get(), &view, &out));
        return out;
    }
    differnet::score add(path_view path)
    {
        differnet::score out;
        finish(dn_calibrator_add_path(get(), path.c_str(), &out));
        return out;
    }
    void set_point(const char *name, double threshold)
    {
        finish(dn_calibrator_set_point(get(), name, threshold));
    }
    void note(const char *key, const char *value)
    {
        finish(dn_calibrator_note(get(), key, value));
    }
    calibrator_info info(span<std::int32_t> suspects = {}) // the first of them
    {
        calibrator_info out;
        finish(dn_calibrator_get_info(get(), &out, suspects.data(), detail::count(suspects.size())));
        return out;
    }
    differnet::model model()
    {
        dn_model *out = nullptr;
        dn_status status = dn_calibrator_model(get(), &out);
        differnet::model made(out);
        finish(status);
        return made;
    }

private:
    void finish(dn_status status) const
    {
        detail::finish(status, dn_calibrator_error(get()));
    }
};

// Image -> heat map, boxes.  One call at a time.
class localizer : public detail::owner<dn_localizer, dn_localizer_free> {
public:
    using owner::owner;
    explicit localizer(const model &of, const localizer_options &options = {})
    {
        dn_localizer *out = nullptr;
        dn_error cause;
        dn_status status = dn_localizer_create(of.get(), &options, &out, &cause);
        reset(out);
        detail::finish(status, &cause);
    }
    // Like scorer::set_mask, for the maps to come.
    void set_mask(const pixel_view &mask, std::int32_t kind = DN_MASK_INCLUDE)
    {
        detail::finish(dn_localizer_set_mask(get(), &mask, kind), dn_localizer_error(get()));
    }
    void clear_mask()
    {
        detail::finish(dn_localizer_set_mask(get(), nullptr, DN_MASK_INCLUDE), dn_localizer_error(get()));
    }
    // map: (height, width).
    void map(const pixel_view &view, span<float> map)
    {
        detail::require_size(map.size(), view.area(), 1, "localizer::map: the map has not the image's size");
        detail::finish(dn_localizer_map(get(), &view, map.data()), dn_localizer_error(get()));
    }
    // map: (height, width).  Returns those of `boxes` that were written, strongest peak first.
    span<box> boxes(span<const float> map, std::int32_t width, std::int32_t height, float threshold, span<box> boxes)
    {
        std::int32_t found = 0;
        require_map(map, width, height);
        detail::finish(dn_localizer_boxes(get(), map.data(), width, height, threshold, boxes.data(),
                                          detail::count(boxes.size()), &found),
                       dn_localizer_error(get()));
        return {boxes.data(), static_cast<std::size_t>(found)};
    }
    // Likewise, with options (dn_localizer_find_boxes).
    span<box> boxes(span<const float> map, std::int32_t width, std::int32_t height, const box_options &options,
                    span<box> boxes)
    {
        std::int32_t found = 0;
        require_map(map, width, height);
        detail::finish(dn_localizer_find_boxes(get(), map.data(), width, height, &options, boxes.data(),
                                               detail::count(boxes.size()), &found),
                       dn_localizer_error(get()));
        return {boxes.data(), static_cast<std::size_t>(found)};
    }
    // The threshold at which this share of good images has a box at all; *kept: the rate it keeps.
    float threshold(double false_alarm_rate, double *kept = nullptr)
    {
        float found = 0;
        detail::finish(dn_localizer_threshold(get(), false_alarm_rate, &found, kept), dn_localizer_error(get()));
        return found;
    }

private:
    static void require_map(span<const float> map, std::int32_t width, std::int32_t height)
    {
        if (width < 0 || height < 0)
            throw error(DN_E_ARGUMENT, "localizer::boxes: a negative size");
        detail::require_size(map.size(), static_cast<std::size_t>(height), static_cast<std::size_t>(width),
                             "localizer::boxes: the map is not (height, width)");
    }
};

struct train_options : initialised<dn_train_options, dn_train_options_init_size> {
    train_options() noexcept = default;
    explicit train_options(std::int32_t from) // DN_PRESET_...
    {
        detail::check(dn_train_options_preset(this, from), nullptr);
    }
    explicit train_options(const model &from) // what the model tells of its training
    {
        detail::check(dn_train_options_of_model(this, from.get()), nullptr);
    }
};

// Good images -> model.  One call at a time.
class trainer : public detail::owner<dn_trainer, dn_trainer_free> {
public:
    using owner::owner;
    explicit trainer(const extractor &network, const train_options &options = {})
    {
        dn_trainer *out = nullptr;
        dn_error cause;
        dn_status status = dn_trainer_create(network.get(), &options, &out, &cause);
        reset(out);
        detail::finish(status, &cause);
    }
    // With a model's backbone, mask and notes.
    static trainer like(const differnet::model &of, const train_options &options)
    {
        dn_trainer *out = nullptr;
        dn_error cause;
        dn_status status = dn_trainer_create_like(of.get(), &options, &out, &cause);
        trainer made(out);
        detail::finish(status, &cause);
        return made;
    }
    static trainer like(const differnet::model &of)
    {
        return like(of, train_options(of));
    }
    void add(path_view path)
    {
        finish(dn_trainer_add_path(get(), path.c_str()));
    }
    void add(const pixel_view &view)
    {
        finish(dn_trainer_add_pixels(get(), &view));
    }
    // What counts in the images, before the first is added: as scorer::set_mask.  The model keeps it.
    void set_mask(const pixel_view &mask, std::int32_t kind = DN_MASK_INCLUDE)
    {
        finish(dn_trainer_set_mask(get(), &mask, kind));
    }
    void clear_mask()
    {
        finish(dn_trainer_set_mask(get(), nullptr, DN_MASK_INCLUDE));
    }
    void set_group(const char *name) // images added from now on show this part; nullptr: each its own
    {
        finish(dn_trainer_set_group(get(), name));
    }
    void note(const char *key, const char *value) // for the models it makes
    {
        finish(dn_trainer_note(get(), key, value));
    }
    differnet::model run()
    {
        dn_model *out = nullptr;
        dn_status status = dn_trainer_run(get(), nullptr, nullptr, &out);
        differnet::model made(out);
        finish(status);
        return made;
    }
    // report(progress): returns nothing, or something that is true to stop (DN_E_CANCELLED).  After that, and after an
    // exception in it, a further run goes on.
    template <class F> differnet::model run(F report)
    {
        dn_model *out = nullptr;
        dn_progress_fn call = [](const dn_progress *now, void *user) -> std::int32_t {
            bool stop = false;
            bool whole = detail::guarded([&] {
                F &told = *static_cast<F *>(user);
                if constexpr (std::is_void_v<decltype(told(*now))>)
                    told(*now);
                else
                    stop = static_cast<bool>(told(*now));
            });
            return stop || !whole;
        };
        dn_status status = dn_trainer_run(get(), call, &report, &out);
        differnet::model made(out);
        finish(status);
        return made;
    }
    // The earlier image that this one is a duplicate of, or -1; *kind: DN_DUPLICATE_...
    std::int32_t duplicate_of(std::int32_t image, std::int32_t *kind = nullptr) const noexcept
    {
        return dn_trainer_duplicate_of(get(), image, kind);
    }
    trainer_info info() const
    {
        trainer_info out;
        finish(dn_trainer_get_info(get(), &out));
        return out;
    }
    // Number `index` of what the images added so far suggest; nullptr: no more.  Until the next call.
    const char *advice(std::int32_t index) noexcept
    {
        return dn_trainer_advice(get(), index);
    }
    // Of the last epoch that went well, after a run that failed or was cancelled.
    differnet::model model()
    {
        dn_model *out = nullptr;
        dn_status status = dn_trainer_model(get(), &out);
        differnet::model made(out);
        finish(status);
        return made;
    }

private:
    void finish(dn_status status) const
    {
        detail::finish(status, dn_trainer_error(get()));
    }
};

} // namespace differnet

#endif // DIFFERNET_HPP
