/* Decimal numbers and doubles: exact whatever the locale, the rounding mode and the C library. */
#ifndef DN_FORMAT_DECIMAL_H
#define DN_FORMAT_DECIMAL_H

#define DECIMAL_MAX_DIGITS 128
#define DECIMAL_TEXT 32 /* bytes of a printed number */

/* The double nearest to digits * 10^exponent, ties to even; infinity where that is too large.  digits: count <=
 * DECIMAL_MAX_DIGITS of '0' to '9'. */
double decimal_to_double(const char *digits, int count, int exponent);
/* A finite number as JSON has it, with the fewest digits that decimal_to_double gives the same double for; of a float,
 * the same float. */
void decimal_print(double value, char text[DECIMAL_TEXT]);
void decimal_print_float(float value, char text[DECIMAL_TEXT]);

#endif
