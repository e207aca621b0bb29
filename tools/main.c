/* The command `differnet`: finds the verb and hands over. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "command.h"

static const command_verb *const verbs[] = {&verb_train,     &verb_update,  &verb_score, &verb_localize, &verb_eval,
                                            &verb_calibrate, &verb_compare, &verb_info,  &verb_convert};
#define VERB_COUNT ((int)(sizeof verbs / sizeof verbs[0]))

static int print_usage(void)
{
    printf("usage: differnet VERB ...\n\n"
           "Finds defects in pictures of industrial parts after learning from good ones only.\n\n"
           "verbs:\n");
    for (int i = 0; i < VERB_COUNT; i++)
        printf("  %-10s %s\n", verbs[i]->name, verbs[i]->summary);
    printf("\n  differnet VERB --help    a verb's options and examples\n"
           "  differnet --version      versions of command and library\n");
    return finish_output(0);
}

static int print_version(void)
{
    printf("differnet %d.%d.%d (library %s, OpenBLAS kernels %s)\n", DN_VERSION_MAJOR, DN_VERSION_MINOR,
           DN_VERSION_PATCH, dn_version(), dn_blas_corename());
    return finish_output(0);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        complain("no verb given; see `differnet --help`");
        return EXIT_FAILED;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0)
        return print_usage();
    if (strcmp(argv[1], "--version") == 0)
        return print_version();
    for (int i = 0; i < VERB_COUNT; i++) {
        if (strcmp(argv[1], verbs[i]->name) != 0)
            continue;
        signal(SIGXFSZ, SIG_IGN); /* a limit on the size of files is told as an error of the file */
        /* The library's own threads do the work; OpenBLAS' would only get in their way. */
        if (dn_blas_threads() > 1 && dn_blas_set_threads(1) != DN_OK) {
            complain("OpenBLAS does not take a thread count");
            return EXIT_FAILED;
        }
        return verbs[i]->run(verbs[i], argc - 1, argv + 1);
    }
    complain(
        "'%s' is not a verb; there are train, update, score, localize, eval, calibrate, compare, info and convert: see "
        "`differnet --help`",
        argv[1]);
    return EXIT_FAILED;
}
