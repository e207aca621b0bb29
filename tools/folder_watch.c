#define _GNU_SOURCE /* pipe2 */
#include "folder_watch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"

#define EVENT_BYTES 1024 /* not too many files: a signal is looked at before more are read */

static int wake[2]; /* a pipe: what a signal writes ends the wait, whichever thread it came to and whenever */

static void note_signal(int number)
{
    (void)number;
    ssize_t ignored = write(wake[1], "", 1); /* full: there is enough in it */
    (void)ignored;
}

/* What was ignored when the command began stays ignored. */
static bool catch_signals(void)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = note_signal, .sa_flags = (int)SA_RESETHAND | SA_RESTART}, before;

    if (pipe2(wake, O_CLOEXEC | O_NONBLOCK) != 0)
        return false;
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        if (sigaction(signals[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
            sigaction(signals[i], &action, NULL);
    }
    return true;
}

bool watch_open(folder_watch *watch, const char *path)
{
    *watch = (folder_watch){.path = path, .fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK)};
    uint32_t events = IN_CLOSE_WRITE | IN_MOVED_TO | IN_ONLYDIR | IN_DELETE_SELF | IN_MOVE_SELF;
    if (watch->fd >= 0 && inotify_add_watch(watch->fd, path, events) >= 0)
        return true;
    complain("%s: cannot watch this folder: %s", path, strerror(errno));
    watch_close(watch);
    return false;
}

void watch_close(folder_watch *watch)
{
    if (watch->fd >= 0)
        close(watch->fd);
    watch->fd = -1;
}

/* Whether a file was told already, as it is now. */
static bool was_told(const folder_watch *watch, const struct stat *status)
{
    size_t known = watch->told_count < WATCH_MEMORY ? watch->told_count : WATCH_MEMORY;

    for (size_t i = 0; i < known; i++) {
        const struct watched_file *file = &watch->told[i];
        if (file->device == status->st_dev && file->inode == status->st_ino && file->size == status->st_size &&
            file->changed.tv_sec == status->st_mtim.tv_sec && file->changed.tv_nsec == status->st_mtim.tv_nsec)
            return true;
    }
    return false;
}

static void add_file(folder_watch *watch, const char *name, image_list *images)
{
    struct stat status;
    size_t length = strlen(watch->path);

    if (name[0] == '.' || !has_image_name(name))
        return;
    char *path = need_text("%s%s%s", watch->path, watch->path[length - 1] == '/' ? "" : "/", name);
    if (stat(path, &status) != 0 || !S_ISREG(status.st_mode) || was_told(watch, &status)) {
        free(path); /* gone again, or nothing new */
        return;
    }
    watch->told[watch->told_count++ % WATCH_MEMORY] = (struct watched_file){status.st_dev, status.st_ino,
                                                                            status.st_size, status.st_mtim};
    image_list_add(images, path);
}

/* False, with a message, if the watch has come to an end or missed files. */
static bool take_event(folder_watch *watch, const struct inotify_event *event, image_list *images)
{
    if (event->mask & IN_Q_OVERFLOW) {
        complain("%s: more new files at once than the system tells; some were missed", watch->path);
        return false;
    }
    if (event->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT | IN_IGNORED)) {
        complain("%s: this folder is gone", watch->path);
        return false;
    }
    if (event->len > 0 && !(event->mask & IN_ISDIR))
        add_file(watch, event->name, images);
    return true;
}

static bool take_events(folder_watch *watch, image_list *images)
{
    _Alignas(struct inotify_event) char bytes[EVENT_BYTES];
    ssize_t got = read(watch->fd, bytes, sizeof bytes);
    bool good = true;

    if (got < 0 && errno != EAGAIN && errno != EINTR) {
        complain("%s: cannot watch this folder: %s", watch->path, strerror(errno));
        return false;
    }
    for (ssize_t at = 0; at < got && good;) {
        const struct inotify_event *event = (const struct inotify_event *)(const void *)(bytes + at);
        good = take_event(watch, event, images);
        at += (ssize_t)(sizeof *event + event->len);
    }
    return good;
}

enum watch_result watch_next(folder_watch *watch, image_list *images)
{
    if (!watch->waiting && !catch_signals()) {
        complain("cannot wait for signals: %s", strerror(errno));
        return WATCH_FAILED;
    }
    watch->waiting = true;
    struct pollfd waited[2] = {{.fd = watch->fd, .events = POLLIN}, {.fd = wake[0], .events = POLLIN}};
    while (images->count == 0) {
        if (poll(waited, 2, -1) < 0 && errno != EINTR) {
            complain("%s: cannot watch this folder: %s", watch->path, strerror(errno));
            return WATCH_FAILED;
        }
        if (waited[1].revents)
            return WATCH_INTERRUPTED;
        if (waited[0].revents && !take_events(watch, images))
            return WATCH_FAILED;
    }
    return WATCH_FILES;
}
