/* SPDX-License-Identifier: MIT
 * Running text of WordprocessingML, DrawingML (ECMA-376) and OpenDocument, from element names alone. A
 * paragraph is a line; a table row is a line with tabs between its cells. Text boxes and notes, which stand
 * inside a paragraph, follow it. Of alternatives for the same content (mc:AlternateContent) the first is
 * taken. What tracked changes delete is left out, what they insert is text. */
#include "workers/processors/office.h"

#include <string.h>

#include "lib/buffer.h"
#include "lib/text.h"

#define BOXES_MAX_BYTES (16u << 20)
#define MAX_TABS 1024 /* between two cells, and spaces that one element may stand for */
#define SEPARATORS "separator continuationSeparator continuationNotice"

enum action {
    ACTION_SKIP, /* the whole subtree */
    ACTION_TEXT, /* characters in it are text (OOXML) */
    ACTION_PARAGRAPH,
    ACTION_TAB,
    ACTION_BREAK,
    ACTION_SPACES,
    ACTION_HYPHEN,
    ACTION_TABLE,
    ACTION_ROW,
    ACTION_CELL,
    ACTION_BOX,
    ACTION_ALTERNATIVES,
    ACTION_ALTERNATIVE,
    ACTION_NOTE,
    ACTION_RUN_PROPERTIES, /* skipped, but hidden text is counted */
    ACTION_NONE,
};

static const struct {
    const char *name;
    enum action action;
} actions[2][40] = {
    [OFFICE_FLOW_OOXML] =
        {
            {"t", ACTION_TEXT},
            {"p", ACTION_PARAGRAPH},
            {"rPr", ACTION_RUN_PROPERTIES},
            {"pPr", ACTION_SKIP},
            {"tab", ACTION_TAB},
            {"ptab", ACTION_TAB},
            {"br", ACTION_BREAK},
            {"cr", ACTION_BREAK},
            {"noBreakHyphen", ACTION_HYPHEN},
            {"tbl", ACTION_TABLE},
            {"tr", ACTION_ROW},
            {"tc", ACTION_CELL},
            {"txbxContent", ACTION_BOX},
            {"AlternateContent", ACTION_ALTERNATIVES},
            {"Choice", ACTION_ALTERNATIVE},
            {"Fallback", ACTION_ALTERNATIVE},
            {"footnote", ACTION_NOTE},
            {"endnote", ACTION_NOTE},
            {"del", ACTION_SKIP},
            {"moveFrom", ACTION_SKIP},
            {"rt", ACTION_SKIP}, /* how a word is spoken */
            {"tblPr", ACTION_SKIP},
            {"tblPrEx", ACTION_SKIP},
            {"trPr", ACTION_SKIP},
            {"tcPr", ACTION_SKIP},
            {"sectPr", ACTION_SKIP},
            {"sdtPr", ACTION_SKIP},
            {NULL, ACTION_NONE},
        },
    [OFFICE_FLOW_ODF] =
        {
            {"p", ACTION_PARAGRAPH},
            {"h", ACTION_PARAGRAPH},
            {"tab", ACTION_TAB},
            {"s", ACTION_SPACES},
            {"line-break", ACTION_BREAK},
            {"table", ACTION_TABLE},
            {"table-row", ACTION_ROW},
            {"table-cell", ACTION_CELL},
            {"covered-table-cell", ACTION_CELL},
            {"text-box", ACTION_BOX},
            {"note-body", ACTION_BOX},
            {"note-citation", ACTION_SKIP},
            {"tracked-changes", ACTION_SKIP},
            {"annotation", ACTION_SKIP},
            {"ruby-text", ACTION_SKIP},
            {"title", ACTION_SKIP}, /* of drawings */
            {"desc", ACTION_SKIP},
            {NULL, ACTION_NONE},
        },
};

/* One for the part itself and one for each box inside a box. */
struct place {
    int tables;     /* depth */
    int paragraphs; /* depth */
    bool first_cell;
    bool filled;      /* the cell has text */
    bool gap;         /* a paragraph of the cell has ended */
    uint64_t tabs;    /* before the next text of the row */
    uint64_t repeats; /* of the open cell */
};

struct flow {
    struct office *office;
    enum office_flow vocabulary;
    int skip;           /* depth inside a subtree that is left out */
    int run_properties; /* that depth belongs to them */
    int texts;          /* depth of elements that hold text */
    int alternatives;   /* depth; what was taken on each: */
    bool taken[OFFICE_MAX_DEPTH + 1];
    size_t depth; /* into places */
    struct place places[OFFICE_MAX_DEPTH + 1];
    struct buffer boxes; /* what follows the open paragraph */
    bool blank;          /* the last character was white space (ODF) */
};

/* --- writing -------------------------------------------------------------------------------------------- */

static int put(struct flow *flow, const char *text, size_t size) {
    if (flow->depth == 0)
        return office_put(flow->office, text, size);
    if (buffer_append(&flow->boxes, text, size) != 0)
        return processor_fail(flow->office->context, "output_limit", "too much text in boxes");
    return 0;
}

/* Text inside a paragraph: first what is owed to the table around it. */
static int put_inline(struct flow *flow, const char *text, size_t size) {
    struct place *place = &flow->places[flow->depth];
    int status = 0;

    if (size == 0)
        return 0;
    if (place->tables > 0) {
        uint64_t tabs = place->tabs < MAX_TABS ? place->tabs : MAX_TABS;
        for (uint64_t i = 0; i < tabs && status == 0; i++)
            status = put(flow, "\t", 1);
        if (status == 0 && place->gap && place->filled)
            status = put(flow, " ", 1);
        place->tabs = 0;
        place->gap = false;
        place->filled = true;
    }
    return status == 0 ? put(flow, text, size) : -1;
}

/* What stood in boxes inside the paragraph or row that has just ended. */
static int put_boxes(struct flow *flow) {
    int status = 0;

    if (flow->depth == 0 && flow->boxes.size > 0) {
        status = office_put(flow->office, flow->boxes.data, flow->boxes.size);
        buffer_reset(&flow->boxes);
    }
    return status;
}

/* --- starts --------------------------------------------------------------------------------------------- */

static enum action find_action(const struct flow *flow, const char *name) {
    for (size_t i = 0; actions[flow->vocabulary][i].name != NULL; i++) {
        if (strcmp(actions[flow->vocabulary][i].name, name) == 0)
            return actions[flow->vocabulary][i].action;
    }
    return ACTION_NONE;
}

static int start_skip(struct flow *flow) {
    flow->skip = 1;
    return 0;
}

static int start_spaces(struct flow *flow, const struct office_attributes *attributes) {
    uint64_t count = office_attribute_number(attributes, "c", 1);
    int status = 0;

    count = count < MAX_TABS ? count : MAX_TABS;
    for (uint64_t i = 0; i < count && status == 0; i++)
        status = put_inline(flow, " ", 1);
    return status;
}

static int start_cell(struct flow *flow, const struct office_attributes *attributes) {
    struct place *place = &flow->places[flow->depth];

    if (place->tables != 1) {
        place->gap = true; /* a table inside a cell is text of that cell */
        return 0;
    }
    place->tabs += !place->first_cell;
    place->repeats = office_attribute_number(attributes, "number-columns-repeated", 1);
    place->first_cell = false;
    place->filled = place->gap = false;
    return 0;
}

static int start_row(struct flow *flow) {
    struct place *place = &flow->places[flow->depth];

    if (place->tables == 1) {
        place->tabs = 0;
        place->first_cell = true;
    }
    return 0;
}

static int start_box(struct flow *flow) {
    flow->depth++; /* the depth of XML is bounded, so this is */
    flow->places[flow->depth] = (struct place){0};
    if (flow->boxes.size > 0 && flow->boxes.data[flow->boxes.size - 1] != '\n')
        return put(flow, "\n", 1);
    return 0;
}

static int start_alternative(struct flow *flow) {
    bool *taken = &flow->taken[flow->alternatives];

    if (*taken)
        return start_skip(flow);
    *taken = true;
    return 0;
}

static int start_note(struct flow *flow, const struct office_attributes *attributes) {
    char type[32];

    return office_attribute(attributes, "type", type, sizeof type) && strstr(SEPARATORS, type) != NULL
               ? start_skip(flow)
               : 0;
}

static int start_table(struct flow *flow, const struct office_attributes *attributes) {
    struct place *place = &flow->places[flow->depth];
    char name[OFFICE_NAME_SIZE];

    if (place->tables++ > 0)
        return 0;
    flow->office->tables++;
    /* of a spreadsheet, where a table is a sheet */
    if (json_object_get(flow->office->meta, "sheets") == NULL || flow->depth != 0 ||
        !office_attribute(attributes, "name", name, sizeof name))
        return 0;
    json_array_append_new(json_object_get(flow->office->meta, "sheets"), json_pack("{ss}", "name", name));
    return office_put_text(flow->office, name) == 0 ? office_put_text(flow->office, "\n") : -1;
}

static int start_paragraph(struct flow *flow) {
    flow->places[flow->depth].paragraphs++;
    flow->blank = true;
    return 0;
}

static int start_action(struct flow *flow, enum action action, const struct office_attributes *attributes) {
    bool in_table = flow->places[flow->depth].tables > 0;

    switch (action) {
    case ACTION_SKIP:
        return start_skip(flow);
    case ACTION_RUN_PROPERTIES:
        flow->run_properties = 1;
        return start_skip(flow);
    case ACTION_TEXT:
        flow->texts++;
        return 0;
    case ACTION_PARAGRAPH:
        return start_paragraph(flow);
    case ACTION_TAB:
        return put_inline(flow, in_table ? " " : "\t", 1);
    case ACTION_BREAK:
        return put_inline(flow, in_table ? " " : "\n", 1);
    case ACTION_SPACES:
        return start_spaces(flow, attributes);
    case ACTION_HYPHEN:
        return put_inline(flow, "\xe2\x80\x91", 3);
    case ACTION_TABLE:
        return start_table(flow, attributes);
    case ACTION_ROW:
        return start_row(flow);
    case ACTION_CELL:
        return start_cell(flow, attributes);
    case ACTION_BOX:
        return start_box(flow);
    case ACTION_ALTERNATIVES:
        flow->taken[++flow->alternatives] = false;
        return 0;
    case ACTION_ALTERNATIVE:
        return start_alternative(flow);
    case ACTION_NOTE:
        return start_note(flow, attributes);
    case ACTION_NONE:
        break;
    }
    return 0;
}

static int on_start(void *context, const char *name, const struct office_attributes *attributes) {
    struct flow *flow = context;

    if (flow->skip > 0) {
        flow->skip++;
        flow->office->hidden_runs += flow->run_properties && strcmp(name, "vanish") == 0;
        return 0;
    }
    return start_action(flow, find_action(flow, name), attributes);
}

/* --- ends ----------------------------------------------------------------------------------------------- */

static int end_paragraph(struct flow *flow) {
    struct place *place = &flow->places[flow->depth];

    place->paragraphs--;
    flow->office->paragraphs++;
    if (place->tables > 0) {
        place->gap = true;
        return 0;
    }
    return put(flow, "\n", 1) == 0 ? put_boxes(flow) : -1;
}

static int end_cell(struct flow *flow) {
    struct place *place = &flow->places[flow->depth];

    if (place->tables == 1 && place->repeats > 1)
        place->tabs += place->repeats < MAX_TABS ? place->repeats - 1 : MAX_TABS;
    return 0;
}

static int end_row(struct flow *flow) {
    if (flow->places[flow->depth].tables != 1)
        return 0;
    return put(flow, "\n", 1) == 0 ? put_boxes(flow) : -1;
}

static int end_box(struct flow *flow) {
    flow->depth--;
    return flow->places[flow->depth].paragraphs == 0 && flow->places[flow->depth].tables == 0
               ? put_boxes(flow)
               : 0;
}

static int end_action(struct flow *flow, enum action action) {
    switch (action) {
    case ACTION_TEXT:
        flow->texts--;
        return 0;
    case ACTION_PARAGRAPH:
        return end_paragraph(flow);
    case ACTION_TABLE:
        flow->places[flow->depth].tables--;
        return 0;
    case ACTION_ROW:
        return end_row(flow);
    case ACTION_CELL:
        return end_cell(flow);
    case ACTION_BOX:
        return end_box(flow);
    case ACTION_ALTERNATIVES:
        flow->alternatives--;
        return 0;
    default:
        return 0;
    }
}

static int on_end(void *context, const char *name) {
    struct flow *flow = context;

    if (flow->skip == 0)
        return end_action(flow, find_action(flow, name));
    if (--flow->skip == 0)
        flow->run_properties = 0;
    return 0;
}

/* --- characters ----------------------------------------------------------------------------------------- */

/* White space collapses in OpenDocument: runs of it are one space, none at the start of a paragraph. */
static int put_collapsed(struct flow *flow, const char *text, size_t size) {
    size_t from = 0;

    for (size_t i = 0; i < size; i++) {
        if (memchr(" \t\r\n", text[i], 4) == NULL) {
            flow->blank = false;
            continue;
        }
        if (put_inline(flow, text + from, i - from) != 0 || (!flow->blank && put_inline(flow, " ", 1) != 0))
            return -1;
        flow->blank = true;
        from = i + 1;
    }
    return put_inline(flow, text + from, size - from);
}

static int on_text(void *context, const char *text, size_t size) {
    struct flow *flow = context;

    if (flow->skip > 0)
        return 0;
    if (flow->vocabulary == OFFICE_FLOW_OOXML)
        return flow->texts > 0 ? put_inline(flow, text, size) : 0;
    return flow->places[flow->depth].paragraphs > 0 ? put_collapsed(flow, text, size) : 0;
}

int office_flow_read(struct office *office, const char *part, enum office_flow vocabulary) {
    static const struct office_events events = {.start = on_start, .end = on_end, .text = on_text};
    static struct flow flow;
    int status;

    memset(&flow, 0, sizeof flow);
    flow.office = office;
    flow.vocabulary = vocabulary;
    buffer_init(&flow.boxes, BOXES_MAX_BYTES);
    status = office_package_parse(office, part, &events, &flow);
    if (status == 0)
        status = put_boxes(&flow);
    buffer_clear(&flow.boxes);
    return status;
}
