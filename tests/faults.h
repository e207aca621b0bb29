/* Makes calls of the C library fail, whoever makes them: this program, the library under test, libpng, libjpeg, ...
 * faults.c is linked into the test, which exports its symbols (export_dynamic), so that they are found first. */
#ifndef DN_TESTS_FAULTS_H
#define DN_TESTS_FAULTS_H

enum fault_kind {
    FAULT_MEMORY, /* malloc and its relatives return NULL */
    FAULT_THREAD, /* pthread_create: EAGAIN */
    FAULT_EIO,    /* open, openat, read, write, fsync, close, rename, unlink, fstat, ftruncate, mmap, flock, fchmod */
    FAULT_ENOSPC, /* those that write, create or rename */
    FAULT_EINTR,  /* open, read, write, fsync, close, flock: those that a signal interrupts */
    FAULT_SHORT,  /* read and write: one byte only */
    FAULT_KINDS
};

/* From now on count the calls of that kind, and let the one with this number (1, 2, ...; 0: none) fail; forever: those
 * behind it, too. */
void faults_arm(enum fault_kind kind, long number, _Bool forever);
/* No more faults; the calls that were counted. */
long faults_disarm(void);
/* The name of the first call on files that failed since faults_arm(); NULL: none did. */
const char *faults_failed(void);
/* Blocks of malloc and its relatives that are not freed. */
long faults_live(void);

#endif
