// OpenCV's pictures, as they are: a cv::Mat is scored where it lies, and the heat map is one, too.
//
// Any cv::Mat of 8-bit gray, BGR or BGRA, or 16-bit gray will do: a frame of cv::VideoCapture, what cv::imread gives, or
// a part of a larger picture.  Here it is made from a file that the library reads, so that OpenCV's core is enough.
//
//   c++ -std=c++17 opencv.cpp -o opencv -I/usr/include/opencv4 $(pkg-config --cflags --libs differnet) -lopencv_core
//   ./opencv part.dnm photo.png [X Y WIDTH HEIGHT]
#include <differnet.hpp>
#include <opencv2/core.hpp>

#include <cstdlib>
#include <iostream>

static differnet::pixel_view view_of(const cv::Mat &mat)
{
    std::int32_t format = mat.type() == CV_8UC1    ? DN_GRAY8
                          : mat.type() == CV_16UC1 ? DN_GRAY16
                          : mat.type() == CV_8UC3  ? DN_BGR8
                          : mat.type() == CV_8UC4  ? DN_BGRA8
                                                   : 0;
    return {mat.data, mat.cols, mat.rows, format, static_cast<std::int64_t>(mat.step[0])};
}

// The file's pixels in the order that OpenCV likes.
static cv::Mat read(const char *path)
{
    differnet::image image = differnet::image::open(path);
    differnet::pixel_view pixels = image.pixels();
    int type = pixels.format == DN_GRAY8 ? CV_8UC1 : pixels.format == DN_GRAY16 ? CV_16UC1 : CV_8UC3;
    cv::Mat lent(pixels.height, pixels.width, type, const_cast<void *>(pixels.pixels)), own;
    if (type == CV_8UC3) {
        own.create(lent.size(), type);
        cv::mixChannels(lent, own, {0, 2, 1, 1, 2, 0});
        return own;
    }
    return lent.clone();
}

int main(int argc, char **argv)
try {
    if (argc != 3 && argc != 7) {
        std::cerr << "usage: " << argv[0] << " MODEL IMAGE [X Y WIDTH HEIGHT]\n";
        return 2;
    }
    differnet::model model = differnet::model::open(argv[1]);
    differnet::scorer scorer(model);
    differnet::localizer localizer(model);

    cv::Mat frame = read(argv[2]);
    if (argc == 7) // a region of interest: no pixel is copied
        frame = frame(cv::Rect(std::atoi(argv[3]), std::atoi(argv[4]), std::atoi(argv[5]), std::atoi(argv[6])));

    cv::Mat map(frame.size(), CV_32FC1); // 1: what good parts hardly exceed
    differnet::score score = scorer.score(view_of(frame));
    localizer.map(view_of(frame), {map.ptr<float>(), map.total()});
    double peak;
    cv::Point where;
    cv::minMaxLoc(map, nullptr, &peak, nullptr, &where);
    std::cout << argv[2] << ": score " << score.score << ", hottest at " << where << " with " << peak
              << (score.anomalous == 1 ? "  ANOMALOUS\n" : "\n");
    return score.anomalous == 1 ? 1 : 0;
} catch (const std::exception &failure) { // cv::Exception is one
    std::cerr << failure.what() << '\n';
    return 2;
}
