/* Both directions multiply and compare whole numbers of up to 864 digits, and never divide: slow where it is called a
 * million times, and short.  The library reads and writes a dozen such numbers a file. */
#include "format/decimal.h"

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define BASE 1000000000u /* of a limb: nine digits */
#define LIMBS 96
#define INFINITY_BITS 0x7FF0000000000000u

typedef struct big {
    uint32_t limbs[LIMBS]; /* the lowest first */
    int count;             /* no zeros at the top; 0: the number is 0 */
} big;

/* n = n * factor + addend; both below BASE. */
static void multiply(big *n, uint32_t factor, uint32_t addend)
{
    uint64_t carry = addend;

    for (int i = 0; i < n->count; i++) {
        carry += (uint64_t)n->limbs[i] * factor;
        n->limbs[i] = (uint32_t)(carry % BASE);
        carry /= BASE;
    }
    if (carry > 0)
        n->limbs[n->count++] = (uint32_t)carry;
}

/* n = n * base^exponent */
static void multiply_power(big *n, uint32_t base, int exponent)
{
    while (exponent > 0) {
        uint32_t factor = 1;
        for (; exponent > 0 && factor < BASE / base; exponent--)
            factor *= base;
        multiply(n, factor, 0);
    }
}

static big big_of(uint64_t value)
{
    big n = {.count = 0};

    for (; value > 0; value /= BASE)
        n.limbs[n.count++] = (uint32_t)(value % BASE);
    return n;
}

static int compare(const big *a, const big *b)
{
    if (a->count != b->count)
        return a->count < b->count ? -1 : 1;
    for (int i = a->count - 1; i >= 0; i--)
        if (a->limbs[i] != b->limbs[i])
            return a->limbs[i] < b->limbs[i] ? -1 : 1;
    return 0;
}

/* |value| = *mantissa * 2^*exponent */
static void split(uint64_t bits, uint64_t *mantissa, int *exponent)
{
    int field = (int)(bits >> 52 & 0x7FF);

    *mantissa = (bits & 0xFFFFFFFFFFFFFu) | (uint64_t)(field > 0) << 52;
    *exponent = (field > 0 ? field : 1) - 1075;
}

/* ---- reading ---- */

/* A decimal number is number * 10^exponent.  Its sign against mantissa * 2^two: where a power is negative, the other
 * side is multiplied.  At most 128 digits * 2^1075 * 10^309, or 2^54 * 2^971 * 10^458: 768 digits. */
static int order(const big *number, int exponent, uint64_t mantissa, int two)
{
    big left = *number, right = big_of(mantissa);

    multiply_power(exponent < 0 ? &right : &left, 10, exponent < 0 ? -exponent : exponent);
    multiply_power(two < 0 ? &left : &right, 2, two < 0 ? -two : two);
    return compare(&left, &right);
}

static int order_bits(const big *number, int exponent, uint64_t bits)
{
    uint64_t mantissa;
    int two;

    split(bits, &mantissa, &two);
    return order(number, exponent, mantissa, two);
}

/* About the number, to begin the search at. */
static double guess(const big *number, int exponent)
{
    double value = 0;

    for (int i = number->count - 1; i >= 0; i--)
        value = value * BASE + number->limbs[i];
    for (; exponent > 0; exponent--)
        value *= 10;
    for (; exponent < 0; exponent++)
        value /= 10;
    return value;
}

/* Doubles above zero are in the order of their bits: so the last one that is not above the number is searched among
 * them.  The guess saves most of the steps, and decides nothing. */
static uint64_t last_not_above(const big *number, int exponent)
{
    const uint64_t reach = 4096;
    uint64_t low = 0, high = INFINITY_BITS, middle; /* low <= number < high */
    double value = guess(number, exponent);

    memcpy(&middle, &value, sizeof middle);
    if (middle >= reach && middle < INFINITY_BITS - reach) {
        if (order_bits(number, exponent, middle - reach) >= 0)
            low = middle - reach;
        if (order_bits(number, exponent, middle + reach) < 0)
            high = middle + reach;
    }
    while (high - low > 1) {
        middle = low + (high - low) / 2;
        if (order_bits(number, exponent, middle) >= 0)
            low = middle;
        else
            high = middle;
    }
    return low;
}

double decimal_to_double(const char *digits, int count, int exponent)
{
    big number = {.count = 0};
    uint64_t bits, mantissa;
    int two;
    double value;

    for (; count > 0 && *digits == '0'; digits++)
        count--;
    for (int i = 0; i < count; i++)
        multiply(&number, 10, (uint32_t)(digits[i] - '0'));
    if (number.count == 0 || exponent < -330 - count)
        return 0;
    if (exponent > 310 - count)
        return HUGE_VAL;
    bits = last_not_above(&number, exponent);
    split(bits, &mantissa, &two);
    int half = order(&number, exponent, 2 * mantissa + 1, two - 1);
    bits += half > 0 || (half == 0 && mantissa % 2 == 1); /* from the largest double on to infinity */
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* ---- writing ---- */

/* All digits of a number above zero, the first not '0': it is 0.DIGITS * 10^*point.  A double has at most 767. */
static int exact_digits(double value, char digits[9 * LIMBS + 1], int *point)
{
    uint64_t bits, mantissa;
    int two, count;

    memcpy(&bits, &value, sizeof bits);
    split(bits, &mantissa, &two);
    big number = big_of(mantissa);
    multiply_power(&number, two < 0 ? 5 : 2, two < 0 ? -two : two); /* 2^-n = 5^n / 10^n */
    count = snprintf(digits, 10, "%u", (unsigned)number.limbs[number.count - 1]);
    for (int i = number.count - 2; i >= 0; i--)
        count += snprintf(digits + count, 10, "%09u", (unsigned)number.limbs[i]);
    *point = count + (two < 0 ? two : 0);
    return count;
}

/* Rounds to at most `most` digits, without zeros at the end: up, or to nearest, ties to even.  Returns their number. */
static int round_digits(char *digits, int count, int most, _Bool up, int *point)
{
    if (count > most) {
        int half = digits[most] - '5';
        for (int i = most + 1; half == 0 && i < count; i++)
            half = digits[i] != '0';
        up = up || half > 0 || (half == 0 && (digits[most - 1] - '0') % 2 == 1);
        for (count = most; up && count > 0 && digits[count - 1] == '9'; count--) {
        }
        if (up && count == 0) { /* 9.99 -> 10.0 */
            digits[count++] = '1';
            ++*point;
        } else if (up) {
            digits[count - 1]++;
        }
    }
    while (count > 1 && digits[count - 1] == '0')
        count--;
    return count;
}

/* The fewest digits of a number above zero that bring it back, the nearest of them or, where its neighbours lie at
 * different distances, perhaps the one above.  single: back to a float.  What 15 digits (6 of a float) can bring back,
 * 15 digits bring back, and zeros are dropped at their end: only below the normal numbers fewer have to be tried. */
static int shortest_digits(double value, _Bool single, char digits[17], int *point)
{
    char exact[9 * LIMBS + 1], tried[9 * LIMBS + 1];
    int exact_point, count = exact_digits(value, exact, &exact_point);
    _Bool normal = value >= (single ? (double)FLT_MIN : DBL_MIN);

    for (int most = !normal ? 1 : single ? FLT_DIG : DBL_DIG;; most++)
        for (int up = 0; up < 2; up++) {
            memcpy(tried, exact, (size_t)count);
            *point = exact_point;
            int used = round_digits(tried, count, most, up, point);
            double back = decimal_to_double(tried, used, *point - used);
            if (most < 17 && (single ? (float)back != (float)value : memcmp(&back, &value, sizeof value) != 0))
                continue;
            memcpy(digits, tried, (size_t)used);
            return used;
        }
}

static void print(double value, _Bool single, char text[DECIMAL_TEXT])
{
    char digits[17];
    int point, used = 0;

    if (value == 0) {
        snprintf(text, DECIMAL_TEXT, signbit(value) ? "-0.0" : "0"); /* -0 would be an integer */
        return;
    }
    if (signbit(value))
        text[used++] = '-';
    int count = shortest_digits(fabs(value), single, digits, &point);
    size_t room = DECIMAL_TEXT - (size_t)used;
    if (point < -3 || point > 16) /* larger ones would look like integers, and have other last digits */
        snprintf(text + used, room, "%c%s%.*se%d", digits[0], count > 1 ? "." : "", count - 1, digits + 1, point - 1);
    else if (point <= 0)
        snprintf(text + used, room, "0.%.*s%.*s", -point, "000", count, digits);
    else if (point < count)
        snprintf(text + used, room, "%.*s.%.*s", point, digits, count - point, digits + point);
    else
        snprintf(text + used, room, "%.*s%.*s", count, digits, point - count, "000000000000000");
}

void decimal_print(double value, char text[DECIMAL_TEXT])
{
    print(value, 0, text);
}

void decimal_print_float(float value, char text[DECIMAL_TEXT])
{
    print((double)value, 1, text);
}
