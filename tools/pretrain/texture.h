/* Textures: one or two layers ("fields") over the whole picture. */
#ifndef DN_PRETRAIN_TEXTURE_H
#define DN_PRETRAIN_TEXTURE_H

#include "scene.h"

enum field_kind {
    FIELD_NOISE, FIELD_CELLS, FIELD_CRYSTAL, FIELD_GRATING, FIELD_WEAVE, FIELD_MARBLE, FIELD_SHAPES, FIELD_SINES,
    FIELD_BRUSHED, FIELD_RINGS, FIELD_SPECKLE, FIELD_MESH, FIELD_PERFORATED, FIELD_TILES, FIELD_LEATHER, FIELD_FIBRES,
    FIELD_KINDS
};

#define WAVES 6

/* A function of the plane with values in 0..1; its unit of length is the pitch. */
struct field {
    enum field_kind kind;
    uint32_t pattern;      /* seed that all instances share */
    uint32_t grain;        /* seed of the instance */
    float pitch;           /* in picture sides */
    float cosine, sine;    /* of the field's own direction */
    float stretch;         /* length of the unit along y / along x */
    int32_t shape, mode, count, step, missing;
    float gain, width, jitter, soft, warp;
    float wave[WAVES][3];  /* frequency along x and y, phase in turns */
    float pixel;           /* of the picture, in units of the field; set with the pose */
};

struct texture {
    struct field base, over;
    int32_t combine;
    float over_strength; /* 0..1 */
    float bump;          /* height of the value 1, in pitches */
    float contrast;      /* 0..1 of the distance between colours */
};

typedef void field_row(const struct field *f, int32_t n, const float *x, const float *y, float *out);
field_row *field_function(enum field_kind kind);

void make_texture(struct texture *t, struct maker *m, enum field_kind kind);
/* A quiet one for behind an object. */
void make_background(struct texture *t, struct maker *m);
/* Fills height and albedo. */
void render_texture(const struct texture *t, const struct pose *pose, struct dice instance, struct scene *s);

#endif
