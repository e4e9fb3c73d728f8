/* SPDX-License-Identifier: MIT
 * The extern "C" face of poppler-cpp: every call catches everything. poppler's messages about broken files
 * are silenced: the runner has nowhere to print to. */
#include "workers/processors/engines.h"
#include "workers/processors/pdf.h"

#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <new>
#include <string>

#include <poppler-document.h>
#include <poppler-embedded-file.h>
#include <poppler-global.h>
#include <poppler-image.h>
#include <poppler-page-renderer.h>
#include <poppler-page.h>
#include <poppler-toc.h>
#include <poppler-version.h>

struct pdf {
    std::unique_ptr<poppler::document> document;
};

namespace {

/* A page with text in a standard font that is not embedded: reading and drawing it loads what they need. */
const char warm_document[] = "%PDF-1.4\n"
                             "1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n"
                             "2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
                             "3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 72 72]/Contents 4 0 R"
                             "/Resources<</Font<</F 5 0 R/G 6 0 R>>>>>>endobj\n"
                             "4 0 obj<</Length 50>>stream\n"
                             "BT /F 9 Tf 9 9 Td (warm) Tj /G 9 Tf (engine) Tj ET\n"
                             "endstream endobj\n"
                             "5 0 obj<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>endobj\n"
                             "6 0 obj<</Type/Font/Subtype/Type1/BaseFont/Times-Roman>>endobj\n"
                             "trailer<</Root 1 0 R/Size 7>>\n%%EOF\n";

const int outline_depth_max = 32;

void be_silent(const std::string &, void *) {
}

template <typename Function> enum pdf_status guarded(Function function) {
    try {
        return function();
    } catch (const std::bad_alloc &) {
        return PDF_NO_MEMORY;
    } catch (...) {
        return PDF_BROKEN;
    }
}

std::string to_text(const poppler::ustring &text) {
    const poppler::byte_array bytes = text.to_utf8();
    return std::string(bytes.data(), bytes.size());
}

char *copy_text(const std::string &text) {
    char *copy = static_cast<char *>(std::malloc(text.size() + 1));
    if (copy == nullptr)
        throw std::bad_alloc();
    std::memcpy(copy, text.data(), text.size());
    copy[text.size()] = '\0';
    return copy;
}

int degrees(poppler::page::orientation_enum orientation) {
    switch (orientation) {
    case poppler::page::landscape:
        return 90;
    case poppler::page::upside_down:
        return 180;
    case poppler::page::seascape:
        return 270;
    case poppler::page::portrait:
        break;
    }
    return 0;
}

enum pdf_status copy_rows(const poppler::image &image, size_t pixel_bytes, struct pdf_bitmap *bitmap) {
    const size_t stride = static_cast<size_t>(image.width()) * pixel_bytes;
    unsigned char *pixels =
        static_cast<unsigned char *>(std::malloc(stride * static_cast<size_t>(image.height())));
    if (pixels == nullptr)
        return PDF_NO_MEMORY;
    for (int row = 0; row < image.height(); row++)
        std::memcpy(pixels + static_cast<size_t>(row) * stride,
                    image.const_data() + static_cast<ptrdiff_t>(row) * image.bytes_per_row(), stride);
    *bitmap = {image.width(), image.height(), stride, pixels};
    return PDF_OK;
}

} // namespace

/* With the last document poppler throws its tables of names away, which every runner would then make and read anew,
 * for longer than a page takes: this one stays open. */
static struct pdf *warm_pdf;

int pdf_warm(void) {
    enum pdf_status status;
    char *text = nullptr;
    size_t size = 0;

    if (warm_pdf != nullptr)
        return 0;
    poppler::set_debug_error_function(be_silent, nullptr);
    warm_pdf = pdf_open(reinterpret_cast<const unsigned char *>(warm_document), sizeof warm_document - 1, &status);
    if (warm_pdf == nullptr)
        return -1;
    status = pdf_page_text(warm_pdf, 0, PDF_ORDER_RAW, &text, &size);
    bool is_read = status == PDF_OK && std::strstr(text, "warm") != nullptr;
    std::free(text);
    return is_read ? 0 : -1;
}

int pdf_warm_drawing(void) {
    struct pdf_bitmap bitmap = {};

    if (pdf_warm() != 0 || pdf_page_draw(warm_pdf, 0, 72, &bitmap) != PDF_OK)
        return -1;
    std::free(bitmap.pixels);
    return 0;
}

struct pdf *pdf_open(const unsigned char *bytes, size_t size, enum pdf_status *status) {
    struct pdf *pdf = nullptr;

    *status = guarded([&] {
        if (size > static_cast<size_t>(std::numeric_limits<int>::max()))
            return PDF_BROKEN;
        std::unique_ptr<poppler::document> document(poppler::document::load_from_raw_data(
            reinterpret_cast<const char *>(bytes), static_cast<int>(size)));
        if (!document)
            return PDF_BROKEN;
        if (document->is_locked())
            return PDF_LOCKED;
        pdf = new struct pdf;
        pdf->document = std::move(document);
        return PDF_OK;
    });
    return pdf;
}

void pdf_close(struct pdf *pdf) {
    delete pdf;
}

int pdf_page_count(const struct pdf *pdf) {
    return pdf->document->pages();
}

enum pdf_status pdf_page_facts(struct pdf *pdf, int number, struct pdf_page_info *facts) {
    return guarded([&] {
        const std::unique_ptr<poppler::page> page(pdf->document->create_page(number));
        if (!page)
            return PDF_BROKEN;
        const poppler::rectf box = page->page_rect(poppler::crop_box);
        *facts = {box.width(), box.height(), degrees(page->orientation()), copy_text(to_text(page->label()))};
        return PDF_OK;
    });
}

enum pdf_status pdf_page_text(struct pdf *pdf, int number, enum pdf_order order, char **text, size_t *size) {
    return guarded([&] {
        const std::unique_ptr<poppler::page> page(pdf->document->create_page(number));
        if (!page)
            return PDF_BROKEN;
        const std::string found = to_text(
            page->text(poppler::rectf(), order == PDF_ORDER_LAYOUT ? poppler::page::physical_layout
                                                                   : poppler::page::raw_order_layout));
        *text = copy_text(found);
        *size = found.size();
        return PDF_OK;
    });
}

enum pdf_status pdf_page_words(struct pdf *pdf, int number, int (*word)(void *, const struct pdf_word *),
                               void *context) {
    return guarded([&] {
        const std::unique_ptr<poppler::page> page(pdf->document->create_page(number));
        if (!page)
            return PDF_BROKEN;
        for (const poppler::text_box &box : page->text_list()) {
            const std::string text = to_text(box.text());
            const poppler::rectf area = box.bbox();
            const struct pdf_word found = {text.data(), text.size(),  area.left(),
                                           area.top(),  area.right(), area.bottom()};
            if (word(context, &found) != 0)
                break;
        }
        return PDF_OK;
    });
}

enum pdf_status pdf_properties(struct pdf *pdf, int (*property)(void *, const struct pdf_property *),
                               void *context) {
    return guarded([&] {
        for (const std::string &name : pdf->document->info_keys()) {
            const std::string value = to_text(pdf->document->info_key(name));
            const struct pdf_property found = {name.data(), value.data(), name.size(), value.size()};
            if (property(context, &found) != 0)
                break;
        }
        return PDF_OK;
    });
}

namespace {

/* False when the list is to end. */
bool walk(const poppler::toc_item *item, int level, int (*heading)(void *, const struct pdf_heading *),
          void *context) {
    for (const poppler::toc_item *child : item->children()) {
        const std::string title = to_text(child->title());
        const struct pdf_heading found = {level, title.data(), title.size()};
        if (heading(context, &found) != 0)
            return false;
        if (level < outline_depth_max && !walk(child, level + 1, heading, context))
            return false;
    }
    return true;
}

} // namespace

enum pdf_status pdf_outline(struct pdf *pdf, int (*heading)(void *, const struct pdf_heading *),
                            void *context) {
    return guarded([&] {
        const std::unique_ptr<poppler::toc> toc(pdf->document->create_toc());
        if (toc && toc->root() != nullptr)
            (void)walk(toc->root(), 1, heading, context);
        return PDF_OK;
    });
}

enum pdf_status pdf_attachments(struct pdf *pdf, int (*attachment)(void *, const struct pdf_attachment *),
                                void *context) {
    return guarded([&] {
        if (!pdf->document->has_embedded_files())
            return PDF_OK;
        for (const poppler::embedded_file *file : pdf->document->embedded_files()) {
            const std::string name = file->name(), mime = file->mime_type();
            const struct pdf_attachment found = {name.data(), mime.data(), name.size(), mime.size(),
                                                 file->size()};
            if (attachment(context, &found) != 0)
                break;
        }
        return PDF_OK;
    });
}

static enum pdf_status draw(struct pdf *pdf, int number, double dpi, poppler::image::format_enum format,
                            size_t pixel_bytes, struct pdf_bitmap *bitmap) {
    return guarded([&] {
        const std::unique_ptr<poppler::page> page(pdf->document->create_page(number));
        if (!page)
            return PDF_BROKEN;
        poppler::page_renderer renderer;
        renderer.set_render_hints(poppler::page_renderer::antialiasing |
                                  poppler::page_renderer::text_antialiasing);
        renderer.set_image_format(format);
        const poppler::image image = renderer.render_page(page.get(), dpi, dpi);
        if (!image.is_valid())
            return PDF_BROKEN;
        return copy_rows(image, pixel_bytes, bitmap);
    });
}

enum pdf_status pdf_page_draw(struct pdf *pdf, int number, double dpi, struct pdf_bitmap *bitmap) {
    return draw(pdf, number, dpi, poppler::image::format_rgb24, 3, bitmap);
}

enum pdf_status pdf_page_draw_gray(struct pdf *pdf, int number, double dpi, struct pdf_bitmap *bitmap) {
    return draw(pdf, number, dpi, poppler::image::format_gray8, 1, bitmap);
}

const char *engine_poppler(void) {
    static const std::string name = "poppler/" + poppler::version_string();
    return name.c_str();
}
