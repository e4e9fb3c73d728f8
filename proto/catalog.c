/* SPDX-License-Identifier: MIT
 * The table of what users may order. Ranges and names are those that the processors' own tables have. */
#include "proto/catalog.h"

#include <string.h>

#define OOXML "application/vnd.openxmlformats-officedocument."
#define OPEN_DOCUMENT "application/vnd.oasis.opendocument."

/* Images are those that libvips loads with its own or well-kept loaders. */
#define PICTURES                                                                                             \
    "image/jpeg", "image/png", "image/webp", "image/gif", "image/tiff", "image/heic", "image/heif",          \
        "image/avif"

/* --- parameters --------------------------------------------------------------------------------------------
 */

static const struct parameter_row quality_parameters[] = {
    {.name = "webp", .type = PARAMETER_INTEGER, .min = 1, .max = 100, .description = "Quality of WebP."},
    {.name = "jpeg", .type = PARAMETER_INTEGER, .min = 1, .max = 100, .description = "Quality of JPEG."},
    {.name = "avif", .type = PARAMETER_INTEGER, .min = 1, .max = 100, .description = "Quality of AVIF."},
    {.name = NULL},
};

static const struct parameter_row variants_parameters[] = {
    {.name = "sizes",
     .type = PARAMETER_INTEGERS,
     .min = 16,
     .max = 8192,
     .most = 2,
     .fallback = "[400,1600]",
     .description = "Widest side of each variant in pixels; never enlarged."},
    {.name = "formats",
     .type = PARAMETER_CHOICES,
     .choices = "webp|jpeg|png|avif",
     .fallback = "[\"webp\"]",
     .description = "Formats that each size is written in."},
    {.name = "quality",
     .type = PARAMETER_INTEGER,
     .min = 1,
     .max = 100,
     .fallback = "80",
     .description = "Quality of all formats that have one, or per format."},
    {.name = "quality", .type = PARAMETER_OBJECT, .members = quality_parameters},
    {.name = "animation",
     .type = PARAMETER_CHOICE,
     .choices = "first|keep",
     .fallback = "\"first\"",
     .description = "What becomes of an animation: its first frame, or all of them in WebP."},
    {.name = "background",
     .type = PARAMETER_COLOUR,
     .fallback = "\"#ffffff\"",
     .description = "Colour behind transparency in JPEG."},
    {.name = NULL},
};

#define PHOTO_SIDE 3000
#define PHOTO_DPI 2400
#define PHOTO_KB 65536

static const struct parameter_row schema_parameters[] = {
    {.name = "target_width",
     .type = PARAMETER_INTEGER,
     .min = 1,
     .max = PHOTO_SIDE,
     .description = "Pixels."},
    {.name = "width_px",
     .type = PARAMETER_INTEGER,
     .min = 1,
     .max = PHOTO_SIDE,
     .description = "target_width."},
    {.name = "target_height",
     .type = PARAMETER_INTEGER,
     .min = 1,
     .max = PHOTO_SIDE,
     .description = "Pixels."},
    {.name = "height_px",
     .type = PARAMETER_INTEGER,
     .min = 1,
     .max = PHOTO_SIDE,
     .description = "target_height."},
    {.name = "target_dpi",
     .type = PARAMETER_INTEGER,
     .min = 1,
     .max = PHOTO_DPI,
     .fallback = "200",
     .description = "Resolution that is written."},
    {.name = "dpi", .type = PARAMETER_INTEGER, .min = 1, .max = PHOTO_DPI, .description = "target_dpi."},
    {.name = "min_kb",
     .type = PARAMETER_INTEGER,
     .min = 0,
     .max = PHOTO_KB,
     .description = "Least size; 0: any."},
    {.name = "max_kb",
     .type = PARAMETER_INTEGER,
     .min = 0,
     .max = PHOTO_KB,
     .description = "Largest size; 0: any."},
    {.name = "quality",
     .type = PARAMETER_INTEGER,
     .min = 1,
     .max = 100,
     .fallback = "95",
     .description = "Highest quality of JPEG."},
    {.name = "min_quality",
     .type = PARAMETER_INTEGER,
     .min = 1,
     .max = 100,
     .fallback = "30",
     .description = "Lowest quality of JPEG; a photo that is still too large fails."},
    {.name = "output_format",
     .type = PARAMETER_CHOICE,
     .choices = "jpeg|jpg|png",
     .fallback = "\"jpeg\"",
     .description = "Format."},
    {.name = "format", .type = PARAMETER_CHOICE, .choices = "jpeg|jpg|png", .description = "output_format."},
    {.name = "background",
     .type = PARAMETER_COLOUR,
     .fallback = "\"#ffffff\"",
     .description = "Colour behind transparency."},
    {.name = "filename_pattern",
     .type = PARAMETER_TEXT,
     .max = 200,
     .description = "For whoever names the file."},
    {.name = NULL},
};

static const struct parameter_row portal_schema_parameters[] = {
    {.name = "id", .type = PARAMETER_TEXT, .max = 200, .description = "Not read."},
    {.name = "id", .type = PARAMETER_INTEGER, .min = INT64_MIN, .max = INT64_MAX},
    {.name = "version", .type = PARAMETER_TEXT, .max = 200, .description = "Not read."},
    {.name = "version", .type = PARAMETER_INTEGER, .min = INT64_MIN, .max = INT64_MAX},
    {.name = "name",
     .type = PARAMETER_TEXT,
     .min = 1,
     .max = 200,
     .description = "A preset's name, or a label of the definition."},
    {.name = "schema_definition",
     .type = PARAMETER_OBJECT,
     .members = schema_parameters,
     .description = "As schema."},
    {.name = NULL},
};

static const struct parameter_row crop_parameters[] = {
    {.name = "left", .type = PARAMETER_SHARE, .min = 0, .max = 1, .description = "Share of the width."},
    {.name = "top", .type = PARAMETER_SHARE, .min = 0, .max = 1, .description = "Share of the height."},
    {.name = "width", .type = PARAMETER_SHARE, .min = 0, .max = 1, .description = "Share of the width."},
    {.name = "height", .type = PARAMETER_SHARE, .min = 0, .max = 1, .description = "Share of the height."},
    {.name = NULL},
};

static const struct parameter_row photo_parameters[] = {
    {.name = "preset",
     .type = PARAMETER_TEXT,
     .min = 1,
     .max = 100,
     .description = "A portal's photo by name, as \"NEET 2026\"."},
    {.name = "schema",
     .type = PARAMETER_OBJECT,
     .members = schema_parameters,
     .description = "What the photo must be; goes over the preset."},
    {.name = "portal_schema",
     .type = PARAMETER_OBJECT,
     .members = portal_schema_parameters,
     .description = "A schema as portals keep it."},
    {.name = "crop",
     .type = PARAMETER_CHOICE,
     .choices = "centre|attention",
     .fallback = "\"centre\"",
     .description = "What is kept of a picture of another shape, or a box in shares of the upright picture."},
    {.name = "crop", .type = PARAMETER_OBJECT, .members = crop_parameters},
    {.name = "denoise",
     .type = PARAMETER_CHOICE,
     .choices = "auto|on|off",
     .fallback = "\"auto\"",
     .description = "Take noise out."},
    {.name = "clahe",
     .type = PARAMETER_CHOICE,
     .choices = "auto|on|off",
     .fallback = "\"auto\"",
     .description = "Even out contrast."},
    {.name = "ocr",
     .type = PARAMETER_FLAG,
     .fallback = "false",
     .description = "Read the picture: how surely its text can be read."},
    {.name = NULL},
};

static const struct parameter_row pdf_parameters[] = {
    {.name = "layout",
     .type = PARAMETER_CHOICE,
     .choices = "raw|layout",
     .fallback = "\"raw\"",
     .description = "Text as the document draws it, or with columns and tables where they stand on the page."},
    {.name = NULL},
};

static const struct parameter_row ocr_parameters[] = {
    {.name = "pages",
     .type = PARAMETER_PAGES,
     .max = 100000,
     .choices = "needed",
     .description =
         "Pages to read, as 1-5,9 or 3-; all if absent. needed (in plans for PDF): after extract_pdf, "
         "those without good text."},
    {.name = "languages",
     .type = PARAMETER_LANGUAGES,
     .max = 127,
     .description = "Languages that are installed, as eng+deu; as configured if absent."},
    {.name = "dpi",
     .type = PARAMETER_INTEGER,
     .min = 70,
     .max = 600,
     .fallback = "300",
     .description = "Resolution that pages are drawn at; lowered to stay under the limit of pixels."},
    {.name = "outputs",
     .type = PARAMETER_CHOICES,
     .choices = "text|json|hocr|alto|tsv|pdf",
     .fallback = "[\"text\",\"json\",\"hocr\",\"alto\",\"tsv\",\"pdf\"]",
     .description = "What is written."},
    {.name = NULL},
};

static const struct parameter_row waveform_parameters[] = {
    {.name = "samples_per_pixel",
     .type = PARAMETER_INTEGER,
     .min = 2,
     .max = 1 << 24,
     .fallback = "256",
     .description = "Samples in one point."},
    {.name = "bits",
     .type = PARAMETER_INTEGER,
     .min = 8,
     .max = 8,
     .fallback = "16",
     .description = "Bits of a value."},
    {.name = "bits", .type = PARAMETER_INTEGER, .min = 16, .max = 16},
    {.name = "width",
     .type = PARAMETER_INTEGER,
     .min = 1,
     .max = 8192,
     .fallback = "1800",
     .description = "Width of the drawing in pixels."},
    {.name = "height",
     .type = PARAMETER_INTEGER,
     .min = 1,
     .max = 2048,
     .fallback = "140",
     .description = "Height of the drawing in pixels."},
    {.name = "split_channels",
     .type = PARAMETER_FLAG,
     .fallback = "false",
     .description = "Each channel by itself instead of their mean."},
    {.name = NULL},
};

static const struct parameter_row transcribe_parameters[] = {
    {.name = "language",
     .type = PARAMETER_TEXT,
     .min = 2,
     .max = 8,
     .description = "Code of the language, such as en or pt-br; as the recogniser finds, or is set, if absent."},
    {.name = NULL},
};

static const struct parameter_row page_images_parameters[] = {
    {.name = "first",
     .type = PARAMETER_INTEGER,
     .min = 1,
     .max = 1000000,
     .fallback = "1",
     .description = "The first page."},
    {.name = "pages",
     .type = PARAMETER_INTEGER,
     .min = 1,
     .max = 50,
     .fallback = "50",
     .description = "How many, at most."},
    {.name = "pixels",
     .type = PARAMETER_INTEGER,
     .min = 64,
     .max = 2400,
     .fallback = "1200",
     .description = "Longer side of a page."},
    {.name = NULL},
};

/* --- processors --------------------------------------------------------------------------------------------
 */

const struct catalog_row catalog_rows[] = {
    {.type = "extract_pdf",
     .media = {"application/pdf"},
     .parameters = pdf_parameters,
     .version = 2,
     .summary = "Text and words of a PDF's pages."},
    {.type = "thumbnail",
     .media = {"application/pdf", PICTURES},
     .version = 1,
     .summary = "A small and a screen-sized picture."},
    {.type = "page_images",
     .media = {"application/pdf"},
     .parameters = page_images_parameters,
     .version = 1,
     .summary = "Pictures of a PDF's pages, in a ZIP."},
    {.type = "image_variants",
     .media = {PICTURES},
     .parameters = variants_parameters,
     .version = 1,
     .summary = "A picture in other sizes and formats."},
    {.type = "portal_photo",
     .media = {PICTURES},
     .parameters = photo_parameters,
     .version = 1,
     .summary = "A photo of exact pixels, resolution and size, for portals."},
    {.type = "ocr",
     .media = {"application/pdf", PICTURES},
     .parameters = ocr_parameters,
     .version = 1,
     .summary = "Text that is drawn or photographed."},
    {.type = "waveform",
     .media = {"audio/*"},
     .parameters = waveform_parameters,
     .version = 1,
     .summary = "The shape of a sound."},
    {.type = "transcribe",
     .media = {"audio/*"},
     .parameters = transcribe_parameters,
     .version = 1,
     .summary = "What is said, as text, JSON with times, and subtitles."},
    {.type = "extract_office",
     .media = {OOXML "*", OPEN_DOCUMENT "*", "application/encrypted", "application/rtf", "text/plain",
               "text/csv", "text/tab-separated-values", "text/markdown"},
     .version = 1,
     .summary = "Text of office documents and of text files."},
    {.type = "ping", .media = {"*"}, .version = 1, .summary = "Nothing: shows that jobs get through."},
};
const size_t catalog_row_count = sizeof catalog_rows / sizeof catalog_rows[0];

const struct catalog_row *catalog_find(const char *type) {
    for (size_t i = 0; i < catalog_row_count; i++) {
        if (strcmp(catalog_rows[i].type, type) == 0) {
            return &catalog_rows[i];
        }
    }
    return NULL;
}

bool media_pattern_matches(const char *pattern, const char *media_type) {
    size_t size = strlen(pattern);
    return size > 0 && pattern[size - 1] == '*' ? strncmp(pattern, media_type, size - 1) == 0
                                                : strcmp(pattern, media_type) == 0;
}

bool catalog_takes(const struct catalog_row *row, const char *media_type) {
    for (size_t i = 0; i < CATALOG_MAX_MEDIA && row->media[i] != NULL; i++) {
        if (media_pattern_matches(row->media[i], media_type)) {
            return true;
        }
    }
    return false;
}

const struct parameter_row *parameter_find(const struct parameter_row *rows, const char *name) {
    for (; rows != NULL && rows->name != NULL; rows++) {
        if (strcmp(rows->name, name) == 0) {
            return rows;
        }
    }
    return NULL;
}
