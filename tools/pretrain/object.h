/* Objects: parts drawn one over the other, each a function of its own frame with a signed distance and a height. */
#ifndef DN_PRETRAIN_OBJECT_H
#define DN_PRETRAIN_OBJECT_H

#include "scene.h"
#include "texture.h"

enum part_kind {
    PART_BOX,      /* rounded; half_x, half_y, radius, bevel, raise, profile; a stroke if radius = half_y */
    PART_ROD,      /* along x, threaded: half_x, radius, pitch, depth, profile, slant (starts), taper */
    PART_DISC,     /* radius, inner, bevel, raise; rings of pitch and depth */
    PART_GEAR,     /* radius, depth (of a tooth), count, width, shape, inner, bevel, raise, missing */
    PART_POLYGON,  /* count corners, radius (to the sides), inner, bevel, raise */
    PART_COIL,     /* along x: half_x, radius (of the coil), width (radius of the wire), pitch */
    PART_LATTICE,  /* elements: half_x, half_y, pitch, slant (shift per row), shape, width, raise, profile, fill,
                    * taper (pitch along y / along x), phase (rows moved by), inner (radius of a round border) */
    PART_TICKS,    /* of a ruler along x: half_x, half_y, pitch, width, count (long ones every ..) */
    PART_BARS,     /* of a bar code along x: half_x, half_y, pitch (of a module) */
    PART_FINS,     /* box with ridges across x: half_x, half_y, pitch, depth, profile, width, slant, count (crossed) */
    PART_TEETH,    /* of a zipper along x: half_x, half_y, pitch, width */
    PART_CHAIN,    /* along x: half_x, half_y, pitch, width */
    PART_BRISTLES, /* along y: half_x, half_y, pitch, width */
    PART_DOME,     /* half_x, half_y, raise, shape (0 ellipse, 1 rounder square) */
    PART_KINDS
};

struct frame {
    float x, y, cosine, sine, scale;
};

/* Lengths in units of the part's frame. */
struct part {
    enum part_kind kind;
    bool on_surface;      /* adds to the height below instead of replacing it, and is no object of its own */
    int32_t colour;       /* of the palette */
    float opacity;        /* 0..1 of the colour */
    float base;           /* height of its ground */
    float half_x, half_y; /* bounds, too */
    float radius, inner, bevel, raise, pitch, depth, width, slant, taper, fill, phase;
    int32_t count, shape, profile, missing;
    uint32_t seed;
    struct frame frame;   /* in the object; set by add_part */
};

#define MAX_PARTS 400

struct object {
    int32_t count;
    float half_x, half_y;     /* extent, units of the object's frame */
    float unit;               /* picture sides per unit */
    float ring;               /* > 0: what matters lies at this distance from the centre */
    float anchor_x, anchor_y; /* the point seen in the middle */
    struct frame turn;        /* of the whole in the class */
    struct field grain;       /* of the surface */
    float grain_tone, grain_bump;
    struct part parts[MAX_PARTS];
};

struct builder {
    struct maker *m;
    struct object *object;
    struct frame frame; /* where the parts that follow go */
};

typedef void part_row(const struct part *p, int32_t n, const float *x, const float *y, float pixel, float *cover,
                      float *height);
part_row *part_function(enum part_kind kind);

/* Adds a part at (x, y), rotated by turns; too many are left out. */
void add_part(struct builder *b, struct part p, float x, float y, float turn);
/* A straight stroke of half width w. */
void add_stroke(struct builder *b, struct part p, float x0, float y0, float x1, float y1, float w);
/* b with its frame moved, rotated and scaled. */
struct builder inner_builder(const struct builder *b, float x, float y, float turn, float scale);

typedef void build_function(struct builder *b);
struct object_family {
    const char *name;
    build_function *build;
};
/* build_* of object_machine.c, object_print.c, object_goods.c */
build_function build_screw, build_turned, build_gear, build_nut, build_flange, build_plate, build_spring, build_fins,
    build_washer_stack;
build_function build_board, build_connector, build_text, build_code, build_ruler, build_ball_grid, build_solar;
build_function build_pill, build_bottle, build_cable, build_zipper, build_chain, build_brush, build_assembly;
extern const struct object_family object_families[];
extern const int32_t object_family_count;

void make_object(struct object *o, struct maker *m, build_function *build);
/* Draws over the scene's background. */
void render_object(const struct object *o, const struct pose *pose, struct dice instance, struct scene *s);

#endif
