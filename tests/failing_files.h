/* Makes the n-th system call of lib/base/file.c fail. */
#ifndef DN_TESTS_FAILING_FILES_H
#define DN_TESTS_FAILING_FILES_H

/* From now on count calls, and let call `number` (1, 2, ...; 0: none) fail with EIO. */
void files_fail_at(long number);
/* From now on reads and writes handle at most 3 bytes, and every second one is interrupted (EINTR). */
void files_stutter(void);
/* Calls counted since then, and the first of them as letters: o(pen), s(tat), r(ead), w(rite), f(sync), c(lose),
 * m(ap), a(dvise), R(ename), U(nlink), t(runcate). */
long files_calls(void);
const char *files_trace(void);
/* File descriptors and mappings not yet closed. */
long files_open(void);
/* The real calls again. */
void files_restore(void);

#endif
