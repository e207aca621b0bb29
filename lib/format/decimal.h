/* Decimal numbers and doubles: exact whatever the locale, the rounding mode and the C library. */
#ifndef DN_FORMAT_DECIMAL_H
#define DN_FORMAT_DECIMAL_H

#define DECIMAL_MAX_DIGITS 128
#define DECIMAL_TEXT 32 /* bytes that decimal_print needs */

/* The double nearest to digits * 10^exponent, ties to even; infinity where that is too large.  digits: count <=
 * DECIMAL_MAX_DIGITS of '0' to '9'. */
double decimal_to_double(const char *digits, int count, int exponent);
/* A finite number as JSON has it, rounded to so many significant digits (1 to 17), without trailing zeros.  17 bring
 * every double back, 9 every float. */
void decimal_print(double value, int digits, char text[DECIMAL_TEXT]);

#endif
