// Everything that differnet.hpp wraps, from C++.
#include <array>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <limits>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

// As windows.h has them: the header does without either name.
#define max(a, b) ((a) > (b) ? (a) : (b))
#define min(a, b) ((a) < (b) ? (a) : (b))
#include "differnet.hpp"
#undef max
#undef min

#define REQUIRE(condition)                                                       \
    do {                                                                         \
        if (!(condition)) {                                                      \
            std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            std::exit(1);                                                        \
        }                                                                        \
    } while (0)

// Runs an expression, which must throw differnet::error of this status; its message.
#define REQUIRE_ERROR(expected, expression)                                                                       \
    [&]() -> std::string {                                                                                        \
        try {                                                                                                     \
            (void)(expression);                                                                                   \
        } catch (const differnet::error &caught) {                                                                \
            if (caught.status() == (expected))                                                                    \
                return caught.what();                                                                             \
            std::fprintf(stderr, "%s:%d: status %d: %s\n", __FILE__, __LINE__, static_cast<int>(caught.status()), \
                         caught.what());                                                                          \
            std::exit(1);                                                                                         \
        }                                                                                                         \
        std::fprintf(stderr, "%s:%d: no error: %s\n", __FILE__, __LINE__, #expression);                           \
        std::exit(1);                                                                                             \
    }()

// What C++ allocates, to be sure that nothing is hidden in a score.
static std::size_t news;

// Not inlined: gcc would take free() in one for a mistake, having seen new in the other.
[[gnu::noinline]] void *operator new(std::size_t size)
{
    news++;
    if (void *memory = std::malloc(size ? size : 1))
        return memory;
    throw std::bad_alloc();
}

[[gnu::noinline]] void operator delete(void *memory) noexcept
{
    std::free(memory);
}

[[gnu::noinline]] void operator delete(void *memory, std::size_t) noexcept
{
    std::free(memory);
}

// What the library allocates, by an allocator of the host's.
static std::atomic<std::size_t> allocations, frees;

static const dn_allocator counting = {
    [](std::size_t alignment, std::size_t size, void *) -> void * {
        allocations++;
        return std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
    },
    [](void *pointer, void *) {
        frees += pointer != nullptr;
        std::free(pointer);
    },
    nullptr,
};

constexpr std::int32_t side = 64;
constexpr std::size_t area = std::size_t(side) * side;
using picture = std::array<std::uint8_t, area>;

// A bright square on a noisy ground; with a dark spot, if it is defective.
static picture draw(std::uint32_t seed, bool defective = false)
{
    picture gray;
    std::uint32_t state = seed * 7919 + 17;
    for (std::size_t i = 0; i < area; i++) {
        std::size_t x = i % side, y = i / side;
        state = state * 1664525u + 1013904223u;
        bool inside = x >= 16 && x < 48 && y >= 16 && y < 48;
        bool spot = defective && x >= 24 && x < 34 && y >= 24 && y < 34;
        gray[i] = static_cast<std::uint8_t>((spot ? 5 : inside ? 150 : 60) + (state >> 24) % 8);
    }
    return gray;
}

static differnet::pixel_view view_of(const picture &gray)
{
    return {gray.data(), side, side, DN_GRAY8};
}

static std::string scratch; // folder of the files that the test writes

static differnet::extractor small_network()
{
    const std::int32_t channels[5] = {4, 8, 8, 8, 8};
    differnet::extractor_options options;
    options.input_size = side;
    options.scales = 1;
    return differnet::extractor::random(channels, 1, options);
}

static differnet::train_options small_training()
{
    differnet::train_options options;
    options.epochs = 2;
    options.hidden = 16;
    options.blocks = 2;
    options.views = 4;
    options.bank = 4;
    options.heatmap_images = 2;
    options.holdout = 0.3;
    options.position_dims = 8;
    return options;
}

static void add_good(differnet::trainer &trainer)
{
    for (std::uint32_t i = 0; i < 12; i++)
        trainer.add(view_of(draw(i)));
}

static void check_types()
{
    using namespace differnet;
    static_assert(std::is_copy_constructible_v<model> && std::is_copy_assignable_v<extractor> &&
                  std::is_copy_constructible_v<flow>);
    static_assert(!std::is_copy_constructible_v<scorer> && !std::is_copy_assignable_v<localizer> &&
                  !std::is_copy_constructible_v<trainer> && !std::is_copy_constructible_v<image> &&
                  !std::is_copy_constructible_v<blob>);
    static_assert(std::is_nothrow_move_constructible_v<model> && std::is_nothrow_move_assignable_v<scorer> &&
                  std::is_nothrow_move_constructible_v<trainer>);
    static_assert(std::is_nothrow_copy_constructible_v<error> && std::is_base_of_v<std::exception, error>);
    static_assert(!std::is_convertible_v<dn_model *, model>); // taking a reference over is written out
    static_assert(!std::is_constructible_v<span<float>, std::vector<double> &> &&
                  !std::is_constructible_v<span<float>, const std::vector<float> &> &&
                  std::is_constructible_v<span<const float>, const std::vector<float> &>);
}

static void check_library()
{
    REQUIRE(std::strcmp(differnet::version(), dn_version()) == 0);
    std::int32_t threads = differnet::blas_threads();
    if (threads > 0) {
        differnet::blas_set_threads(1);
        REQUIRE(differnet::blas_threads() == 1);
        differnet::blas_set_threads(threads);
        REQUIRE_ERROR(DN_E_ARGUMENT, differnet::blas_set_threads(0));
    } else {
        REQUIRE_ERROR(DN_E_UNSUPPORTED, differnet::blas_set_threads(1));
    }
    REQUIRE(differnet::blas_corename()[0] != '\0' && differnet::warning_text(DN_WARN_SMALL) &&
            !differnet::warning_text(0));
    REQUIRE(std::string(differnet::image::ending(0)) == ".png" && !differnet::image::ending(1000));
}

static void check_images()
{
    const picture gray = draw(1);
    const std::string path = scratch + "/gray.png";
    differnet::write_png(view_of(gray), path);
    differnet::image image = differnet::image::open(std::filesystem::path(path));
    differnet::pixel_view view = image.pixels();
    REQUIRE(view.width == side && view.height == side && view.format == DN_GRAY8 && view.area() == area);
    REQUIRE(std::memcmp(view.pixels, gray.data(), area) == 0);

    differnet::blob png = differnet::encode_png(image);
    differnet::image again = differnet::image::open_memory(png);
    REQUIRE(std::memcmp(again.pixels().pixels, gray.data(), area) == 0);
    std::vector<std::uint8_t> copy(static_cast<const std::uint8_t *>(png.data()),
                                   static_cast<const std::uint8_t *>(png.data()) + png.size());
    differnet::image_options limits;
    limits.max_pixels = 10;
    REQUIRE_ERROR(DN_E_LIMIT, differnet::image::open_memory(copy, limits));
    REQUIRE(REQUIRE_ERROR(DN_E_IO, differnet::image::open(scratch + "/absent.png")).find("absent.png") !=
            std::string::npos);

    std::vector<float> map(area, 3.0f);
    std::vector<std::uint8_t> rgb(area * 3);
    differnet::overlay(view, map, rgb);
    REQUIRE(rgb[0] != gray[0]);
    REQUIRE_ERROR(DN_E_ARGUMENT, differnet::overlay(view, {map.data(), area - 1}, rgb));
    REQUIRE_ERROR(DN_E_ARGUMENT, differnet::overlay(view, map, {rgb.data(), area}));

    dn_image *released = image.release();
    REQUIRE(!image && image.pixels().width == 0);
    differnet::image taken(released);
    image = std::move(taken);
    REQUIRE(image && !taken);
}

static void check_extractor()
{
    differnet::extractor network = small_network();
    differnet::extractor_info info = network.info();
    differnet::maps_info grid = network.maps_info();
    REQUIRE(info.input_size == side && info.feature_dim == 8 && info.random == 1);
    REQUIRE(network.tap_name(0) && !network.tap_name(info.taps) && network.map_name(0) && !network.map_name(grid.taps));
    REQUIRE(!network.metadata(0).first && !network.metadata(0).second);

    const picture gray = draw(2);
    const std::array<double, 2> angles = {0, 30};
    std::vector<float> views(2 * area * 3), features(2 * 8), same(2 * 8), gradient(views.size());
    network.views(view_of(gray), angles, views);
    network.features(views, features);
    network.features(view_of(gray), angles, same);
    REQUIRE(features == same && features[0] > 0);
    network.gradient(views, features, gradient);
    REQUIRE(std::isfinite(gradient[0]));
    std::vector<float> maps(2 * std::size_t(grid.rows) * std::size_t(grid.columns) * std::size_t(grid.channels));
    network.maps(views, maps);
    REQUIRE_ERROR(DN_E_ARGUMENT, network.features(views, {features.data(), 15}));
    REQUIRE_ERROR(DN_E_ARGUMENT, network.features(view_of(gray), angles, {features.data(), 8}));
    REQUIRE_ERROR(DN_E_ARGUMENT, network.views(view_of(gray), angles, {views.data(), 5}));
    REQUIRE_ERROR(DN_E_ARGUMENT, network.maps(views, {maps.data(), maps.size() - 1}));
    REQUIRE_ERROR(DN_E_ARGUMENT, network.gradient(views, features, {gradient.data(), 3}));

    network.save(scratch + "/network.safetensors", DN_STORAGE_F16);
    differnet::extractor_options options;
    options.input_size = side;
    options.scales = 1;
    differnet::extractor file = differnet::extractor::open(scratch + "/network.safetensors", options);
    differnet::extractor memory = differnet::extractor::open_memory(network.save_memory(), options);
    REQUIRE(memory.info().id == info.id && file.info().parameters == info.parameters);

    options.input_height = side + 32; // views of their own height
    differnet::extractor tall = differnet::extractor::open_memory(network.save_memory(), options);
    std::vector<float> upright(2 * (std::size_t(side) + 32) * side * 3);
    REQUIRE(tall.info().input_size == side && tall.info().input_height == side + 32);
    tall.views(view_of(gray), angles, upright);
    tall.features(upright, features);
    tall.features(view_of(gray), angles, same);
    REQUIRE(features == same);
    REQUIRE_ERROR(DN_E_ARGUMENT, tall.features(views, features));

    differnet::extractor shared = network;
    REQUIRE(shared.get() == network.get());
    network = differnet::extractor();
    REQUIRE(shared.info().id == info.id);
    REQUIRE_ERROR(DN_E_ARGUMENT, network.info());
    network = shared;
    shared = static_cast<const differnet::extractor &>(shared);
    REQUIRE(network.info().id == shared.info().id);
    REQUIRE_ERROR(DN_E_ARGUMENT, differnet::extractor::random({angles.size() ? &info.layers : nullptr, 1}, 0));
    try {
        REQUIRE(differnet::extractor::built_in().info().feature_dim > 0);
    } catch (const differnet::error &absent) {
        REQUIRE(absent.status() == DN_E_UNSUPPORTED);
    }
}

static void check_flow()
{
    differnet::flow_options options;
    options.dimension = 4;
    options.blocks = 2;
    options.hidden = 8;
    differnet::flow flow = differnet::flow::create(options);
    std::vector<float> x(3 * 4), z(3 * 4), back(3 * 4), logdet(3), gradient(3 * 4);
    std::vector<double> likelihood(3);
    flow.sample(7, x);
    flow.forward(x, z, logdet);
    flow.forward(x, z);
    flow.inverse(z, back);
    for (std::size_t i = 0; i < x.size(); i++)
        REQUIRE(std::fabs(back[i] - x[i]) < 1e-3f);
    flow.log_likelihood(x, likelihood);
    REQUIRE(std::isfinite(likelihood[2]));
    flow.gradient(x, z, {}, gradient);
    flow.gradient(x, z, logdet, gradient);
    REQUIRE_ERROR(DN_E_ARGUMENT, flow.sample(7, {x.data(), 5}));
    REQUIRE_ERROR(DN_E_ARGUMENT, flow.forward(x, z, {logdet.data(), 2}));
    REQUIRE_ERROR(DN_E_ARGUMENT, flow.forward(x, {z.data(), 4}));
    REQUIRE_ERROR(DN_E_ARGUMENT, flow.inverse(z, {x.data(), 4}));
    REQUIRE_ERROR(DN_E_ARGUMENT, flow.log_likelihood(x, {likelihood.data(), 2}));
    REQUIRE_ERROR(DN_E_ARGUMENT, flow.gradient(x, {z.data(), 4}, {}, gradient));
    flow.save(scratch + "/flow.safetensors");
    differnet::flow file = differnet::flow::open(scratch + "/flow.safetensors");
    differnet::flow memory = differnet::flow::open_memory(flow.save_memory(), &counting);
    REQUIRE(file.info().dimension == 4 && memory.info().hidden == 8);
}

static void check_calibrator(const differnet::model &model)
{
    differnet::calibrator_options options;
    options.accept_suspects = 1;
    differnet::calibrator calibrator(model, options);
    calibrator.add(view_of(draw(70)));
    calibrator.add(view_of(draw(71)));
    calibrator.set_point("strict", 0.5);
    calibrator.note("camera", "2");
    REQUIRE(calibrator.info().counted == 2);
    differnet::model made = calibrator.model();
    REQUIRE(made.holdout_scores().size() == 2 && std::strcmp(made.operating_point(0).first, "strict") == 0);
    REQUIRE(made.operating_point(0).second == 0.5 && !made.operating_point(1).first);
    differnet::scorer scorer(made);
    scorer.set_operating_point("strict");
    REQUIRE(scorer.score(view_of(draw(72))).threshold == 0.5);
    REQUIRE_ERROR(DN_E_ARGUMENT, scorer.set_operating_point("loose"));
    REQUIRE_ERROR(DN_E_IO, calibrator.add("/nowhere/absent.png"));
}

static void check_monitor()
{
    differnet::monitor_options options;
    options.good_scores = 19;
    options.images_between_alarms = 20;
    differnet::monitor monitor(options);
    for (int i = 0; i < 30; i++)
        monitor.add(0.05);
    REQUIRE(monitor.state().moved == 1 && monitor.state().images == 30);
    monitor.begin_anew();
    REQUIRE(monitor.state().moved == 0 && monitor.state().images == 0);
    REQUIRE_ERROR(DN_E_ARGUMENT, monitor.add(0));
    options.window = 0;
    REQUIRE_ERROR(DN_E_ARGUMENT, differnet::monitor(options));
}

static differnet::model check_trainer()
{
    differnet::train_options paper(DN_PRESET_PAPER);
    REQUIRE(paper.hidden == 2048 && paper.positions == 0);
    REQUIRE_ERROR(DN_E_ARGUMENT, differnet::train_options(99));

    differnet::trainer trainer(small_network(), small_training());
    REQUIRE_ERROR(DN_E_STATE, trainer.run());
    REQUIRE_ERROR(DN_E_STATE, trainer.model());
    REQUIRE_ERROR(DN_E_IO, trainer.add(scratch + "/absent.png"));
    trainer.add(scratch + "/gray.png");
    add_good(trainer);
    REQUIRE_ERROR(DN_E_ARGUMENT, trainer.note("a=b", ""));
    trainer.note("part", "flange");

    int told = 0;
    REQUIRE_ERROR(DN_E_CANCELLED, trainer.run([&](const differnet::progress &) { return ++told == 3; }));
    REQUIRE(told == 3);
    // An exception comes out as it is, and the trainer goes on.
    bool caught = false;
    try {
        trainer.run([](const differnet::progress &) { throw std::out_of_range("the window was closed"); });
    } catch (const std::out_of_range &failure) {
        caught = std::strcmp(failure.what(), "the window was closed") == 0;
    }
    REQUIRE(caught && !trainer.advice(1000));
    std::int32_t last = 0;
    differnet::model model = trainer.run([&last](const differnet::progress &now) { last = now.phase; });
    REQUIRE(model && last > 0);
    REQUIRE(trainer.info().images == 13 && trainer.duplicate_of(0) == -1);

    REQUIRE(std::strcmp(model.note(0).first, "part") == 0 && std::strcmp(model.note(0).second, "flange") == 0);
    REQUIRE(!model.note(1).first && !model.note(1).second);
    differnet::trainer other(small_network(), small_training());
    other.add(scratch + "/gray.png");
    add_good(other);
    REQUIRE(other.run().info().id == model.info().id);
    REQUIRE(other.model().info().id == model.info().id);
    return model;
}

static void check_model(const differnet::model &model)
{
    differnet::model_info info = model.info();
    REQUIRE(info.train_images > 0 && info.train_images <= 13 && info.flow == 1 && info.positions == 1);
    REQUIRE(model.holdout_scores().size() == std::size_t(info.holdout_images));
    REQUIRE(model.feature_mean().size() == 8 && model.feature_deviation()[7] > 0);
    REQUIRE(model.extractor().info().feature_dim == 8 && model.flow().info().dimension == 8);
    model.save(scratch + "/part.dnm");
    differnet::model_options quick;
    quick.verify = DN_VERIFY_HEADER;
    REQUIRE(differnet::model::open(scratch + "/part.dnm", quick).info().id == info.id);
    REQUIRE(differnet::model::open_memory(model.save_memory()).info().id == info.id);
    REQUIRE_ERROR(DN_E_KIND, differnet::model::open(scratch + "/network.safetensors"));
    REQUIRE_ERROR(DN_E_ARGUMENT, model.save(scratch + "/part.dnm", 9));

    // The file holds on to nothing: a part outlives the model.
    differnet::flow flow = differnet::model::open(scratch + "/part.dnm").flow();
    REQUIRE(flow.info().dimension == 8);

    differnet::train_options fast(DN_PRESET_FAST);
    fast.position_dims = 8;
    differnet::trainer trainer(small_network(), fast);
    add_good(trainer);
    differnet::model positions = trainer.run();
    REQUIRE(!positions.flow() && positions.feature_mean().empty());

    // Another one like it, and one of a part of the images.
    differnet::trainer like = differnet::trainer::like(positions);
    add_good(like);
    REQUIRE(like.run().info().id == positions.info().id && positions.info().mask_share == 1);
    differnet::trainer masked = differnet::trainer::like(positions, differnet::train_options(positions));
    masked.set_mask(view_of(draw(0)));
    masked.clear_mask();
    add_good(masked);
    REQUIRE(masked.run().info().id == positions.info().id);
}

static void check_scorer(const differnet::model &model)
{
    const picture good = draw(100), bad = draw(101, true);
    differnet::scorer_options options;
    options.false_alarm_rate = 0.25;
    options.allocator = &counting;
    differnet::scorer scorer(model, options);
    std::vector<float> map(area);
    differnet::score first = scorer.score(view_of(good)), score = scorer.score(view_of(bad));
    REQUIRE(first.struct_size == sizeof(dn_score) && score.score > first.score);
    REQUIRE(scorer.view_scores().size() == 4);

    // Warm, a score allocates nothing, neither here nor there.
    scorer.inspect(view_of(good), map);
    scorer.decide(view_of(good));
    std::size_t before = allocations, before_news = news;
    for (int i = 0; i < 3; i++) {
        REQUIRE(scorer.score(view_of(good)).score == first.score);
        scorer.inspect(view_of(good), map);
        scorer.decide(view_of(good));
    }
    REQUIRE(allocations == before && news == before_news && before > 0);

    differnet::write_png(view_of(bad), scratch + "/bad.png");
    REQUIRE(scorer.score(scratch + "/bad.png").score == score.score);
    REQUIRE(scorer.decide((scratch + "/bad.png").c_str()).anomalous == score.anomalous);
    REQUIRE(scorer.inspect(view_of(bad), map).score == score.score);
    REQUIRE_ERROR(DN_E_ARGUMENT, scorer.inspect(view_of(bad), {map.data(), 5}));
    REQUIRE(REQUIRE_ERROR(DN_E_IO, scorer.score(scratch + "/absent.png")).find("absent.png") != std::string::npos);
    REQUIRE_ERROR(DN_E_ARGUMENT, scorer.score(differnet::pixel_view(good.data(), -1, 5, DN_GRAY8)));

    std::vector<differnet::pixel_view> views = {view_of(good), view_of(bad), view_of(good)};
    std::vector<differnet::score> scores(3);
    std::vector<dn_error> errors(3);
    scorer.score_batch(views, scores);
    REQUIRE(scores[0].score == first.score && scores[1].score == score.score);
    REQUIRE(scorer.batch_images() >= 1 && scorer.view_scores().empty());
    views[1].width = -1;
    REQUIRE(scorer.score_batch(views, scores, errors) == DN_E_ARGUMENT);
    REQUIRE(errors[0].status == DN_OK && errors[1].status == DN_E_ARGUMENT && scores[2].score == first.score);
    REQUIRE_ERROR(DN_E_ARGUMENT, scorer.score_batch(views, scores));
    const std::string bad_path = scratch + "/bad.png", absent = scratch + "/absent.png";
    const std::vector<const char *> paths = {bad_path.c_str(), absent.c_str(), bad_path.c_str()};
    REQUIRE(scorer.score_batch(paths, scores, errors) == DN_E_IO && scores[2].score == score.score);
    REQUIRE_ERROR(DN_E_IO, scorer.score_batch(paths, scores));
    REQUIRE_ERROR(DN_E_ARGUMENT, scorer.score_batch(views, {scores.data(), 2}));

    scorer.set_threshold(0.5 * first.score);
    REQUIRE(scorer.score(view_of(good)).anomalous == 1);
    scorer.set_false_alarm_rate(0.25);
    REQUIRE(scorer.score(view_of(good)).threshold == first.threshold);
    REQUIRE_ERROR(DN_E_ARGUMENT, scorer.set_false_alarm_rate(2));
    differnet::scorer moved(std::move(scorer));
    REQUIRE(!scorer && moved.score(view_of(good)).score == first.score);
    REQUIRE_ERROR(DN_E_ARGUMENT, scorer.score(view_of(good)));
    REQUIRE_ERROR(DN_E_ARGUMENT, differnet::scorer(differnet::model()));
    options.false_alarm_rate = 2;
    REQUIRE_ERROR(DN_E_ARGUMENT, differnet::scorer(model, options));
}

static void check_localizer(const differnet::model &model)
{
    const picture bad = draw(101, true);
    differnet::localizer_options options;
    options.method = DN_MAP_GRADIENT;
    differnet::localizer gradient(model, options), localizer(model);
    std::vector<float> map(area);
    gradient.map(view_of(bad), map);
    localizer.map(view_of(bad), map);
    std::array<differnet::box, 2> room;
    differnet::span<differnet::box> found = localizer.boxes(map, side, side, 1e-6f, room);
    REQUIRE(!found.empty() && found.size() <= 2 && found[0].width > 0 && found.begin() + found.size() == found.end());
    REQUIRE(localizer.boxes(map, side, side, 1.0f, {}).empty());
    REQUIRE_ERROR(DN_E_ARGUMENT, localizer.boxes(map, side, side - 1, 1.0f, room));
    REQUIRE_ERROR(DN_E_ARGUMENT, localizer.boxes(map, -side, -side, 1.0f, room));
    REQUIRE_ERROR(DN_E_ARGUMENT, localizer.boxes(map, side, side, -1.0f, room));
    REQUIRE_ERROR(DN_E_ARGUMENT, localizer.map(view_of(bad), {map.data(), 1}));
    differnet::box_options largest;
    largest.threshold = 1e-6f;
    largest.min_area = side * side + 1;
    REQUIRE(localizer.boxes(map, side, side, largest, room).empty());
    largest.min_area = 1;
    REQUIRE(localizer.boxes(map, side, side, largest, room).size() == found.size());
    REQUIRE_ERROR(DN_E_ARGUMENT, localizer.boxes(map, side, side - 1, largest, room));
    double kept = 0;
    REQUIRE(localizer.threshold(0.25, &kept) > 0 && kept > 0);
    REQUIRE_ERROR(DN_E_ARGUMENT, localizer.threshold(2));
    std::vector<std::uint8_t> rgb(area * 3);
    model.overlay(view_of(bad), map, rgb);
    REQUIRE_ERROR(DN_E_ARGUMENT, model.overlay(view_of(bad), map, {rgb.data(), 5}));
}

// Threads of the host's; an exception in the runner comes out of the call, and the next one goes well.
static void check_runner(const differnet::model &model)
{
    const picture good = draw(100);
    int runs = 0;
    bool broken = false;
    const auto on_threads = [&](differnet::job job, std::int32_t jobs) {
        runs++;
        if (broken)
            throw std::runtime_error("no threads left");
        std::vector<std::thread> threads;
        for (std::int32_t i = 0; i < jobs; i++)
            threads.emplace_back(job, i);
        for (std::thread &thread : threads)
            thread.join();
    };
    dn_runner runner = differnet::make_runner(on_threads);
    differnet::scorer_options options;
    options.threads = 2;
    options.runner = &runner;
    differnet::scorer scorer(model, options), plain(model);
    double expected = plain.score(view_of(good)).score;
    REQUIRE(scorer.score(view_of(good)).score == expected && runs > 1);
    for (int call = 0; call < 3; call++) {
        differnet::score score;
        dn_error errors[1];
        const differnet::pixel_view views[1] = {view_of(good)};
        bool caught = false;
        broken = true;
        try {
            if (call == 0)
                scorer.score(view_of(good));
            else if (call == 1)
                (void)scorer.score_batch(views, {&score, 1}, errors);
            else
                differnet::scorer failing(model, options);
        } catch (const std::runtime_error &failure) {
            caught = std::strcmp(failure.what(), "no threads left") == 0;
        }
        broken = false;
        REQUIRE(caught);
        REQUIRE(scorer.score(view_of(good)).score == expected);
    }
}

// What a call made goes again where the runner throws when all jobs are done, so that the call itself went well.
static void check_late_runner(const differnet::model &model)
{
    bool late = true;
    auto in_order = [&](differnet::job job, std::int32_t jobs) {
        for (std::int32_t i = 0; i < jobs; i++)
            job(i);
        if (late)
            throw std::runtime_error("too late");
    };
    const dn_runner runner = differnet::make_runner(in_order);
    auto on_runner = [&](auto options) {
        options.threads = 2;
        options.runner = &runner;
        options.allocator = &counting;
        return options;
    };
    const auto training = on_runner(small_training());
    const std::function<void()> calls[] = {
        [&] { differnet::scorer(model, on_runner(differnet::scorer_options())); },
        [&] { differnet::calibrator(model, on_runner(differnet::calibrator_options())); },
        [&] { differnet::localizer(model, on_runner(differnet::localizer_options())); },
        [&] { differnet::trainer(small_network(), training); },
        [&] { differnet::trainer::like(model, training); },
        [&] {
            late = false;
            differnet::trainer trainer(small_network(), training);
            add_good(trainer);
            REQUIRE_ERROR(DN_E_CANCELLED, trainer.run([](const differnet::progress &now) {
                return now.phase == DN_PHASE_TRAIN && now.done == 1;
            }));
            late = true;
            trainer.model();
        },
    };
    for (const auto &call : calls) {
        std::size_t held = allocations - frees;
        bool caught = false;
        try {
            call();
        } catch (const std::runtime_error &failure) {
            caught = std::strcmp(failure.what(), "too late") == 0;
        }
        REQUIRE(caught && allocations - frees == held);
    }
}

static void check_errors()
{
    const std::string text(400, 'x');
    differnet::error longer(DN_E_IO, text.c_str()), copy = longer;
    REQUIRE(std::string(copy.what()) == std::string(251, 'x') && copy.status() == DN_E_IO);
    REQUIRE(std::string(differnet::error(DN_E_MEMORY, "").what()) == dn_status_string(DN_E_MEMORY));
}

int main()
{
    const char *temporary = std::getenv("TMPDIR");
    scratch = std::string(temporary ? temporary : "/tmp") + "/differnet_cpp_XXXXXX";
    REQUIRE(mkdtemp(scratch.data()));
    check_types();
    check_library();
    check_errors();
    check_images();
    check_extractor();
    check_flow();
    check_monitor();
    differnet::model model = check_trainer();
    check_calibrator(model);
    check_model(model);
    check_scorer(model);
    check_localizer(model);
    check_runner(model);
    check_late_runner(model);
    std::filesystem::remove_all(scratch);
    return 0;
}
