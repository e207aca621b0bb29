// The library from C++: handles in unique_ptr, errors as exceptions.
//
//   c++ -std=c++17 inspect.cpp -o inspect $(pkg-config --cflags --libs differnet)
//   ./inspect part.dnm photo.jpg ...
#include <differnet.h>

#include <iostream>
#include <memory>
#include <stdexcept>

template <auto Release> struct Releaser {
    template <typename Handle> void operator()(Handle *handle) const
    {
        Release(handle);
    }
};
using Model = std::unique_ptr<dn_model, Releaser<dn_model_unref>>;
using Scorer = std::unique_ptr<dn_scorer, Releaser<dn_scorer_free>>;

static Model open_model(const char *path)
{
    dn_model *model;
    dn_error error;
    if (dn_model_open_path(path, nullptr, &model, &error) != DN_OK)
        throw std::runtime_error(error.message);
    return Model(model);
}

static Scorer make_scorer(const Model &model)
{
    dn_scorer *scorer;
    dn_error error;
    dn_scorer_options options;
    dn_scorer_options_init(&options);
    options.false_alarm_rate = 0.02;
    if (dn_scorer_create(model.get(), &options, &scorer, &error) != DN_OK)
        throw std::runtime_error(error.message);
    return Scorer(scorer);
}

int main(int argc, char **argv)
try {
    if (argc < 3) {
        std::cerr << "usage: " << argv[0] << " MODEL IMAGE...\n";
        return 2;
    }
    Model model = open_model(argv[1]);
    Scorer scorer = make_scorer(model);
    int anomalies = 0;
    for (int i = 2; i < argc; i++) {
        dn_score score;
        dn_score_init(&score);
        if (dn_scorer_score_path(scorer.get(), argv[i], &score) != DN_OK)
            throw std::runtime_error(dn_scorer_error(scorer.get())->message);
        std::cout << argv[i] << ": " << score.score << (score.anomalous == 1 ? "  ANOMALOUS\n" : "\n");
        anomalies += score.anomalous == 1;
    }
    return anomalies > 0 ? 1 : 0;
} catch (const std::exception &failure) {
    std::cerr << failure.what() << '\n';
    return 2;
}
