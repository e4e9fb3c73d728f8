/* SPDX-License-Identifier: MIT
 * Searchable PDFs with qpdf. The text has the font that tesseract gives its own PDFs (one empty glyph for all
 * characters), so that readers select and find it as they do there. */
#include "workers/processors/ocr_pdf.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <unistd.h>
#include <vector>
#include <zlib.h>

#define POINTERHOLDER_TRANSITION 4 /* std::shared_ptr only */
#include <qpdf/Buffer.hh>
#include <qpdf/Pipeline.hh>
#include <qpdf/QPDF.hh>
#include <qpdf/QPDFLogger.hh>
#include <qpdf/QPDFPageDocumentHelper.hh>
#include <qpdf/QPDFPageObjectHelper.hh>
#include <qpdf/QPDFWriter.hh>

extern "C" {
#include "workers/deaths.h"
}

struct ocr_pdf {
    QPDF document;
    std::vector<QPDFPageObjectHelper> pages;
    QPDFObjectHandle font;
};

namespace {

const char font_name[] = "/FilemillText";
const char to_unicode[] = "/CIDInit /ProcSet findresource begin\n12 dict begin\nbegincmap\n"
                          "/CIDSystemInfo << /Registry (Adobe) /Ordering (UCS) /Supplement 0 >> def\n"
                          "/CMapName /Adobe-Identify-UCS def\n/CMapType 2 def\n"
                          "1 begincodespacerange\n<0000> <FFFF>\nendcodespacerange\n"
                          "1 beginbfrange\n<0000> <FFFF> <0000>\nendbfrange\n"
                          "endcmap\nCMapName currentdict /CMap defineresource pop\nend\nend\n";

std::string glyphs; /* the font's file; "" when it is not there: the font is then not embedded */

template <typename Function> int guarded(Function function) {
    try {
        return function();
    } catch (...) {
        return -1;
    }
}

void prepare(QPDF &document) {
    document.setSuppressWarnings(true);
    document.setLogger(QPDFLogger::create());
    document.getLogger()->setInfo(document.getLogger()->discard());
    document.getLogger()->setWarn(document.getLogger()->discard());
    document.getLogger()->setError(document.getLogger()->discard());
}

__attribute__((format(printf, 1, 2))) std::string printed(const char *format, ...) {
    char text[512];
    va_list values;
    va_start(values, format);
    const int size = std::vsnprintf(text, sizeof text, format, values);
    va_end(values);
    if (size < 0 || static_cast<size_t>(size) >= sizeof text)
        throw std::length_error("line of a PDF");
    return std::string(text, static_cast<size_t>(size));
}

/* --- the font ------------------------------------------------------------------------------------------- */

/* Ours are deflated here: the writer is told to leave every stream as it is. */
QPDFObjectHandle make_stream(QPDF &document, const std::string &data) {
    uLongf size = compressBound(data.size());
    std::string deflated(size, '\0');
    if (compress(reinterpret_cast<Bytef *>(deflated.data()), &size,
                 reinterpret_cast<const Bytef *>(data.data()), data.size()) != Z_OK)
        throw std::bad_alloc();
    deflated.resize(size);
    QPDFObjectHandle stream = QPDFObjectHandle::newStream(&document);
    stream.replaceStreamData(deflated, QPDFObjectHandle::newName("/FlateDecode"), QPDFObjectHandle::newNull());
    return stream;
}

QPDFObjectHandle indirect_stream(QPDF &document, const std::string &data) {
    return document.makeIndirectObject(make_stream(document, data));
}

QPDFObjectHandle make_font(QPDF &document) {
    std::string identity(2 * 65536, '\0'); /* every character has glyph 1 */
    for (size_t i = 1; i < identity.size(); i += 2)
        identity[i] = 1;
    QPDFObjectHandle descriptor = QPDFObjectHandle::parse(
        "<< /Type /FontDescriptor /FontName /GlyphLessFont /Flags 5 /FontBBox [0 0 500 1000] /ItalicAngle 0 "
        "/Ascent 1000 /Descent -1 /CapHeight 1000 /StemV 80 >>");
    if (!glyphs.empty()) {
        QPDFObjectHandle file = indirect_stream(document, glyphs);
        file.getDict().replaceKey("/Length1", QPDFObjectHandle::newInteger(static_cast<long long>(glyphs.size())));
        descriptor.replaceKey("/FontFile2", file);
    }
    QPDFObjectHandle inner = QPDFObjectHandle::parse(
        "<< /Type /Font /Subtype /CIDFontType2 /BaseFont /GlyphLessFont /DW 500 "
        "/CIDSystemInfo << /Registry (Adobe) /Ordering (Identity) /Supplement 0 >> >>");
    inner.replaceKey("/FontDescriptor", document.makeIndirectObject(descriptor));
    inner.replaceKey("/CIDToGIDMap", indirect_stream(document, identity));
    QPDFObjectHandle font = QPDFObjectHandle::parse(
        "<< /Type /Font /Subtype /Type0 /BaseFont /GlyphLessFont /Encoding /Identity-H >>");
    font.replaceKey("/DescendantFonts",
                    QPDFObjectHandle::newArray(std::vector<QPDFObjectHandle>{document.makeIndirectObject(inner)}));
    font.replaceKey("/ToUnicode", indirect_stream(document, to_unicode));
    return document.makeIndirectObject(font);
}

/* Direct copies all the way down, so that no other page's resources change. */
void add_font(ocr_pdf &pdf, QPDFPageObjectHelper &page) {
    QPDFObjectHandle object = page.getObjectHandle();
    QPDFObjectHandle resources = page.getAttribute("/Resources", false);
    resources = resources.isDictionary() ? resources.shallowCopy() : QPDFObjectHandle::newDictionary();
    QPDFObjectHandle fonts = resources.getKey("/Font");
    fonts = fonts.isDictionary() ? fonts.shallowCopy() : QPDFObjectHandle::newDictionary();
    if (!pdf.font.isInitialized())
        pdf.font = make_font(pdf.document);
    fonts.replaceKey(font_name, pdf.font);
    resources.replaceKey("/Font", fonts);
    object.replaceKey("/Resources", resources);
}

/* --- text ------------------------------------------------------------------------------------------------ */

struct point {
    double x, y;
};

/* From pixels of the page as shown to its user space. */
point to_user(const QPDFObjectHandle::Rectangle &box, int rotation, const ocr_turn &turn, point at) {
    const double width = box.urx - box.llx, height = box.ury - box.lly;
    const bool lies = rotation % 180 != 0;
    const double x = at.x / turn.page_width * (lies ? height : width);
    const double y = at.y / turn.page_height * (lies ? width : height);
    switch (rotation) {
    case 90:
        return {box.llx + y, box.lly + x};
    case 180:
        return {box.urx - x, box.lly + y};
    case 270:
        return {box.urx - y, box.ury - x};
    default:
        return {box.llx + x, box.ury - y};
    }
}

/* The matrix that takes the picture as it was read, with y downwards, to user space. */
std::string matrix(const QPDFObjectHandle::Rectangle &box, int rotation, const ocr_turn &turn) {
    point corner[3] = {{0, 0}, {1, 0}, {0, 1}};
    for (point &at : corner) {
        point page;
        ocr_turn_back(&turn, at.x, at.y, &page.x, &page.y);
        at = to_user(box, rotation, turn, page);
    }
    return printed("%.6f %.6f %.6f %.6f %.3f %.3f cm\n", corner[1].x - corner[0].x, corner[1].y - corner[0].y,
                   corner[2].x - corner[0].x, corner[2].y - corner[0].y, corner[0].x, corner[0].y);
}

/* UTF-16 in hexadecimal, as Identity-H with our ToUnicode wants it; `units` counts. */
std::string encoded(const char *text, int *units) {
    std::string hex;
    *units = 0;
    for (const unsigned char *at = reinterpret_cast<const unsigned char *>(text); *at != 0;) {
        const int more = *at >= 0xf0 ? 3 : *at >= 0xe0 ? 2 : *at >= 0xc0 ? 1 : 0;
        unsigned code = more == 0 ? *at : *at & (0x3fu >> more);
        at++;
        for (int i = 0; i < more && *at != 0; i++)
            code = code << 6 | (*at++ & 0x3fu);
        if (code >= 0x10000) {
            hex += printed("%04X", 0xd800 + ((code - 0x10000) >> 10));
            code = 0xdc00 + ((code - 0x10000) & 0x3ff);
            ++*units;
        }
        hex += printed("%04X", code);
        ++*units;
    }
    return hex;
}

bool ends_line(const ocr_page &page, size_t i) {
    return i + 1 == page.count || page.elements[i + 1].level != OCR_WORD;
}

/* Where a word of a line starts and how the glyphs stand, in the picture as it was read (y downwards). */
std::string text_matrix(const ocr_element &line, const ocr_box &word) {
    switch (line.direction) {
    case 90:
        return printed("0 1 1 0 %d %d Tm", line.read.left, word.top);
    case 180:
        return printed("-1 0 0 1 %d %d Tm", word.right, line.read.top);
    case 270:
        return printed("0 -1 -1 0 %d %d Tm", line.read.right, word.bottom);
    default:
        return printed("1 0 0 -1 %d %d Tm", word.left, line.baseline);
    }
}

std::string text_of(const ocr_page &page) {
    std::string content;
    const ocr_element *line = nullptr;
    int size = 1;

    for (size_t i = 0; i < page.count; i++) {
        const ocr_element &element = page.elements[i];
        if (element.level == OCR_LINE) {
            line = &element;
            const bool stands = line->direction % 180 != 0;
            size = std::max(1, stands ? line->read.right - line->read.left : line->read.bottom - line->read.top);
            content += printed("%s %d Tf\n", font_name, size);
        }
        if (element.level != OCR_WORD || line == nullptr)
            continue;
        const ocr_box &box = element.read;
        const int length = line->direction % 180 != 0 ? box.bottom - box.top : box.right - box.left;
        int units;
        std::string hex = encoded(element.text, &units);
        if (!ends_line(page, i) && !page.elements[i + 1].joined)
            hex += "0020";
        const double stretch = 200.0 * length / (static_cast<double>(units) * size);
        content += text_matrix(*line, box) + printed(" %.2f Tz <", std::max(1.0, stretch)) + hex + "> Tj\n";
    }
    return content;
}

/* As poppler draws it: the crop box, within the media box. */
QPDFObjectHandle::Rectangle shown_box(QPDFPageObjectHelper &page) {
    QPDFObjectHandle::Rectangle media = page.getMediaBox().getArrayAsRectangle();
    QPDFObjectHandle::Rectangle crop = page.getCropBox().getArrayAsRectangle();
    if (!(media.urx > media.llx) || !(media.ury > media.lly))
        media = QPDFObjectHandle::Rectangle(0, 0, 612, 792);
    crop.llx = std::max(crop.llx, media.llx);
    crop.lly = std::max(crop.lly, media.lly);
    crop.urx = std::min(crop.urx, media.urx);
    crop.ury = std::min(crop.ury, media.ury);
    return crop.urx > crop.llx && crop.ury > crop.lly ? crop : media;
}

int shown_rotation(QPDFPageObjectHelper &page) {
    QPDFObjectHandle value = page.getAttribute("/Rotate", false);
    const long long degrees = value.isInteger() ? value.getIntValue() % 360 : 0;
    return static_cast<int>(degrees < 0 ? degrees + 360 : degrees);
}

/* --- pictures -------------------------------------------------------------------------------------------- */

QPDFObjectHandle colours(QPDF &document, const ocr_scan &scan) {
    if (scan.palette == nullptr)
        return QPDFObjectHandle::newName(scan.components == 1   ? "/DeviceGray"
                                         : scan.components == 4 ? "/DeviceCMYK"
                                                                : "/DeviceRGB");
    QPDFObjectHandle table = QPDFObjectHandle::newString(
        std::string(reinterpret_cast<const char *>(scan.palette), scan.palette_size));
    return QPDFObjectHandle::newArray(std::vector<QPDFObjectHandle>{
        QPDFObjectHandle::newName("/Indexed"), QPDFObjectHandle::newName("/DeviceRGB"),
        QPDFObjectHandle::newInteger(static_cast<long long>(scan.palette_size / 3) - 1), table});
}

QPDFObjectHandle decoding(const ocr_scan &scan) {
    if (std::strcmp(scan.filter, "CCITTFaxDecode") == 0)
        return QPDFObjectHandle::parse(printed("<< /K -1 /Columns %d /Rows %d /BlackIs1 %s >>", scan.width,
                                               scan.height, scan.black_is_one ? "true" : "false"));
    if (!scan.predicted)
        return QPDFObjectHandle::newNull();
    return QPDFObjectHandle::parse(printed("<< /Predictor 15 /Colors %d /BitsPerComponent %d /Columns %d >>",
                                           scan.components, scan.bits, scan.width));
}

QPDFObjectHandle make_image(QPDF &document, const ocr_scan &scan) {
    QPDFObjectHandle image = indirect_stream(document, "");
    QPDFObjectHandle entries = image.getDict();
    auto bytes = std::make_shared<Buffer>(const_cast<unsigned char *>(scan.bytes), scan.size);
    image.replaceStreamData(bytes, QPDFObjectHandle::newName(std::string("/") + scan.filter), decoding(scan));
    entries.replaceKey("/Type", QPDFObjectHandle::newName("/XObject"));
    entries.replaceKey("/Subtype", QPDFObjectHandle::newName("/Image"));
    entries.replaceKey("/Width", QPDFObjectHandle::newInteger(scan.width));
    entries.replaceKey("/Height", QPDFObjectHandle::newInteger(scan.height));
    entries.replaceKey("/BitsPerComponent", QPDFObjectHandle::newInteger(scan.bits));
    entries.replaceKey("/ColorSpace", colours(document, scan));
    if (scan.inverted)
        entries.replaceKey("/Decode", QPDFObjectHandle::parse("[1 0 1 0 1 0 1 0]"));
    return image;
}

/* How the unit square is laid onto a page of 1 x 1 for each EXIF orientation. */
const int placements[9][6] = {{1, 0, 0, 1, 0, 0},  {1, 0, 0, 1, 0, 0},   {-1, 0, 0, 1, 1, 0},
                              {-1, 0, 0, -1, 1, 1}, {1, 0, 0, -1, 0, 1},  {0, -1, -1, 0, 1, 1},
                              {0, -1, 1, 0, 0, 1},  {0, 1, 1, 0, 0, 0},   {0, 1, -1, 0, 1, 0}};

/* --- writing --------------------------------------------------------------------------------------------- */

class sink : public Pipeline {
  public:
    sink(int (*target)(void *, const void *, size_t), void *target_context)
        : Pipeline("output", nullptr), put(target), context(target_context) {
    }
    void write(unsigned char const *data, size_t size) override {
        if (put(context, data, size) != 0)
            throw std::runtime_error("output refused");
    }
    void finish() override {
    }

  private:
    int (*put)(void *, const void *, size_t);
    void *context;
};

int count_bytes(void *context, const void *, size_t size) {
    *static_cast<size_t *>(context) += size;
    return 0;
}

} // namespace

struct ocr_pdf *ocr_pdf_open(const unsigned char *bytes, size_t size) {
    std::unique_ptr<ocr_pdf> pdf;
    const int status = guarded([&] {
        pdf = std::make_unique<ocr_pdf>();
        prepare(pdf->document);
        pdf->document.processMemoryFile("input", reinterpret_cast<const char *>(bytes), size);
        pdf->pages = QPDFPageDocumentHelper(pdf->document).getAllPages();
        return 0;
    });
    return status == 0 ? pdf.release() : nullptr;
}

struct ocr_pdf *ocr_pdf_new(void) {
    std::unique_ptr<ocr_pdf> pdf;
    const int status = guarded([&] {
        pdf = std::make_unique<ocr_pdf>();
        prepare(pdf->document);
        pdf->document.emptyPDF();
        return 0;
    });
    return status == 0 ? pdf.release() : nullptr;
}

int ocr_pdf_page_count(struct ocr_pdf *pdf) {
    return static_cast<int>(pdf->pages.size());
}

int ocr_pdf_add_scan(struct ocr_pdf *pdf, const struct ocr_scan *scan, double width, double height) {
    return guarded([&] {
        const int *place = placements[scan->orientation >= 1 && scan->orientation <= 8 ? scan->orientation : 1];
        const std::string content =
            printed("q %.3f %.3f %.3f %.3f %.3f %.3f cm /Scan Do Q\n", place[0] * width, place[1] * height,
                    place[2] * width, place[3] * height, place[4] * width, place[5] * height);
        QPDFObjectHandle page = QPDFObjectHandle::parse(
            printed("<< /Type /Page /MediaBox [0 0 %.3f %.3f] /Resources << /XObject << >> >> >>", width, height));
        page.getKey("/Resources").getKey("/XObject").replaceKey("/Scan", make_image(pdf->document, *scan));
        page.replaceKey("/Contents", indirect_stream(pdf->document, content));
        QPDFPageDocumentHelper(pdf->document)
            .addPage(QPDFPageObjectHelper(pdf->document.makeIndirectObject(page)), false);
        pdf->pages = QPDFPageDocumentHelper(pdf->document).getAllPages();
        return 0;
    });
}

int ocr_pdf_add_text(struct ocr_pdf *pdf, int index, const struct ocr_page *page) {
    return guarded([&] {
        QPDFPageObjectHelper &target = pdf->pages.at(static_cast<size_t>(index));
        if (page->words == 0)
            return 0;
        const std::string place = matrix(shown_box(target), shown_rotation(target), page->turn);
        const std::string content = "\nQ\nq " + place + "BT 3 Tr\n" + text_of(*page) + "ET\nQ\n";
        add_font(*pdf, target);
        target.addPageContents(make_stream(pdf->document, "q\n"), true);
        target.addPageContents(make_stream(pdf->document, content), false);
        return 0;
    });
}

int ocr_pdf_write(struct ocr_pdf *pdf, int (*write)(void *context, const void *bytes, size_t size), void *context) {
    return guarded([&] {
        sink target(write, context);
        QPDFWriter writer(pdf->document);
        writer.setOutputPipeline(&target);
        writer.setStreamDataMode(qpdf_s_preserve);
        writer.setPreserveEncryption(false);
        writer.setDeterministicID(true);
        writer.write();
        return 0;
    });
}

void ocr_pdf_guard_memory(void) {
    std::set_new_handler([] { _exit(RUNNER_EXIT_MEMORY); });
}

int ocr_pdf_warm(void) {
    return guarded([&] {
        static const unsigned char dot = 0;
        const struct ocr_scan scan = {"FlateDecode", &dot, 1, 1, 1, 8, 1, false, false, false, nullptr, 0, 1};
        std::ifstream file(std::string(ocr_engine_folder()) + "/pdf.ttf", std::ios::binary);
        size_t size = 0;

        glyphs.assign(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
        std::unique_ptr<ocr_pdf> pdf(ocr_pdf_new());
        if (!pdf || ocr_pdf_add_scan(pdf.get(), &scan, 72, 72) != 0)
            return -1;
        return ocr_pdf_write(pdf.get(), count_bytes, &size) == 0 && size > 0 ? 0 : -1;
    });
}
