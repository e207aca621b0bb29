// A program of a user's, in C++: what main.c does.
#include <differnet.hpp>

#include <array>
#include <cstdio>
#include <vector>

int fail();
int fail()
{
    return 1;
}

int main()
try {
    std::vector<std::uint8_t> gray(64 * 64);
    for (std::size_t i = 0; i < gray.size(); i++)
        gray[i] = static_cast<std::uint8_t>(i * 7 % 251);
    differnet::image image = differnet::image::open_memory(
        differnet::encode_png(differnet::pixel_view(gray.data(), 64, 64, DN_GRAY8)));
    const std::array<std::int32_t, 5> channels = {4, 4, 4, 4, 4};
    const std::array<double, 1> angles = {30};
    std::array<float, 4> features;
    differnet::extractor_options options;
    options.input_size = 64;
    options.scales = 1;
    differnet::extractor::random(channels, 1, options).features(image.pixels(), angles, features);
    for (float feature : features)
        std::printf("%a ", static_cast<double>(feature));
    std::printf("%s\n", differnet::version());
    return 0;
} catch (const differnet::error &error) {
    std::fprintf(stderr, "%s\n", error.what());
    return fail();
}
