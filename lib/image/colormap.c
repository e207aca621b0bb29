/* The heat map's colours: half a turn of a helix in OKLab (Ottosson 2020), a colour space in which equal distances look
 * equally large.  Lightness rises linearly, hue runs linearly from blue by magenta, red and orange to yellow, chroma is
 * constant: so every step is equally large, brighter always means more, and the whole curve lies inside sRGB. */
#include <math.h>

#include "image/colormap.h"

#define LIGHTNESS_FIRST 0.30
#define LIGHTNESS_LAST 0.90
#define HUE_FIRST 280.0 /* degrees; blue */
#define HUE_LAST 460.0  /* 100 degrees after a full turn; yellow */
#define CHROMA 0.155

/* One channel of linear light as an sRGB byte (IEC 61966-2-1). */
static uint8_t encode_channel(double linear)
{
    double encoded = linear <= 0.0031308 ? 12.92 * linear : 1.055 * pow(linear, 1 / 2.4) - 0.055;

    return (uint8_t)(255 * fmin(fmax(encoded, 0), 1) + 0.5);
}

void colormap_at(double t, uint8_t rgb[3])
{
    double lightness = LIGHTNESS_FIRST + (LIGHTNESS_LAST - LIGHTNESS_FIRST) * t;
    double hue = (HUE_FIRST + (HUE_LAST - HUE_FIRST) * t) * (3.14159265358979323846 / 180);
    double a = CHROMA * cos(hue), b = CHROMA * sin(hue);

    /* OKLab -> cube roots of cone responses -> linear sRGB. */
    double l = lightness + 0.3963377774 * a + 0.2158037573 * b;
    double m = lightness - 0.1055613458 * a - 0.0638541728 * b;
    double s = lightness - 0.0894841775 * a - 1.2914855480 * b;
    l = l * l * l;
    m = m * m * m;
    s = s * s * s;
    rgb[0] = encode_channel(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s);
    rgb[1] = encode_channel(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s);
    rgb[2] = encode_channel(-0.0041960863 * l - 0.7034186147 * m + 1.7076147010 * s);
}
