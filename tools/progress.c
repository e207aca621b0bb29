#include "progress.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "command.h"

#define REDRAW_SECONDS 0.1
#define LOG_SECONDS 5.0

/* Whether a bar stands in the terminal's last line.  There is one terminal, hence one flag. */
static bool bar_shown;

void progress_clear(void)
{
    if (bar_shown)
        fputs("\r\033[K", stderr);
    bar_shown = false;
}

static int window_width(void)
{
    struct winsize size;

    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
        return 80;
    return size.ws_col;
}

static void format_duration(char *text, size_t size, double seconds)
{
    long whole = (long)(seconds + 0.5);

    if (whole < 60)
        snprintf(text, size, "%ld s", whole);
    else if (whole < 3600)
        snprintf(text, size, "%ld min %02ld s", whole / 60, whole % 60);
    else
        snprintf(text, size, "%ld h %02ld min", whole / 3600, whole / 60 % 60);
}

/* "34/192 epochs, loss -0.21, 1.2/s, 2 min 10 s left" */
static void format_state(const progress_bar *bar, int64_t done, int64_t total, const char *note, char *text,
                         size_t size)
{
    double elapsed = seconds_now() - bar->began;
    int64_t fresh = done - bar->first;
    char left[32] = "", rate[32] = "";

    if (fresh > 0 && elapsed > 0.5) {
        double speed = (double)fresh / elapsed;
        snprintf(rate, sizeof rate, speed < 9.95 ? ", %.2g/s" : ", %.0f/s", speed);
        format_duration(left, sizeof left, (double)(total - done) / speed);
    }
    snprintf(text, size, "%lld/%lld %s%s%s%s%s%s%s", (long long)done, (long long)total, bar->unit, note ? ", " : "",
             note ? note : "", rate, *left ? ", " : "", left, *left ? " left" : "");
}

static void draw_bar(const progress_bar *bar, int64_t done, int64_t total, const char *state)
{
    char cells[64];
    int width = window_width() - 1; /* the last column stays free: some terminals wrap there */
    int room = width - (int)strlen(bar->title) - (int)strlen(state) - 5;
    int length = room > 30 ? 30 : room;

    progress_clear();
    if (length >= 5) {
        int filled = total > 0 ? (int)(length * done / total) : 0;
        memset(cells, '-', sizeof cells);
        memset(cells, '#', (size_t)(filled < 0 ? 0 : filled > length ? length : filled));
        fprintf(stderr, "%s [%.*s] %s", bar->title, length, cells, state);
    } else {
        char line[256];
        snprintf(line, sizeof line, "%s %s", bar->title, state);
        fprintf(stderr, "%.*s", width > 0 ? width : 0, line);
    }
    bar_shown = true;
    fflush(stderr);
}

void progress_begin(progress_bar *bar, bool quiet, const char *title, const char *unit, int64_t done)
{
    *bar = (progress_bar){.quiet = quiet,
                          .terminal = isatty(STDERR_FILENO) == 1,
                          .title = title,
                          .unit = unit,
                          .first = done,
                          .began = seconds_now()};
    bar->shown = bar->began;
    if (!quiet && !bar->terminal)
        fprintf(stderr, "%s ...\n", title);
}

void progress_update(progress_bar *bar, int64_t done, int64_t total, const char *note)
{
    char state[200];
    double now = seconds_now();

    if (bar->quiet || now - bar->shown < (bar->terminal ? REDRAW_SECONDS : LOG_SECONDS))
        return;
    bar->shown = now;
    format_state(bar, done, total, note, state, sizeof state);
    if (bar->terminal)
        draw_bar(bar, done, total, state);
    else
        fprintf(stderr, "%s: %s\n", bar->title, state);
}

void progress_end(progress_bar *bar, int64_t done, int64_t total, const char *note)
{
    char took[32];

    if (bar->quiet)
        return;
    progress_clear();
    format_duration(took, sizeof took, seconds_now() - bar->began);
    fprintf(stderr, "%s: %lld/%lld %s%s%s in %s\n", bar->title, (long long)done, (long long)total, bar->unit,
            note ? ", " : "", note ? note : "", took);
}
