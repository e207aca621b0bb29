// The library from C++17 (differnet.hpp): handles release themselves, errors are exceptions.
//
//   c++ -std=c++17 inspect.cpp -o inspect $(pkg-config --cflags --libs differnet)
//   ./inspect part.dnm photo.jpg ...
#include <differnet.hpp>

#include <iostream>

int main(int argc, char **argv)
try {
    if (argc < 3) {
        std::cerr << "usage: " << argv[0] << " MODEL IMAGE...\n";
        return 2;
    }
    differnet::model model = differnet::model::open(argv[1]);
    differnet::scorer_options options;
    options.false_alarm_rate = 0.02;
    differnet::scorer scorer(model, options);
    int anomalies = 0;
    for (int i = 2; i < argc; i++) {
        differnet::score score = scorer.score(argv[i]);
        std::cout << argv[i] << ": " << score.score << (score.anomalous == 1 ? "  ANOMALOUS\n" : "\n");
        anomalies += score.anomalous == 1;
    }
    return anomalies > 0 ? 1 : 0;
} catch (const differnet::error &failure) {
    std::cerr << failure.what() << '\n';
    return 2;
}
