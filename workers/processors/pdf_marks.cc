/* SPDX-License-Identifier: MIT
 * What a page's content stream does, counted with qpdf's tokenizer. Contents are decompressed up to a ceiling:
 * a few kilobytes can be made to expand to gigabytes. */
#include "workers/processors/pdf_grade.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#define POINTERHOLDER_TRANSITION 4 /* std::shared_ptr only */
#include <qpdf/BufferInputSource.hh>
#include <qpdf/Pipeline.hh>
#include <qpdf/QPDF.hh>
#include <qpdf/QPDFLogger.hh>
#include <qpdf/QPDFPageDocumentHelper.hh>
#include <qpdf/QPDFPageObjectHelper.hh>
#include <qpdf/QPDFTokenizer.hh>

struct pdf_content {
    QPDF document;
    std::vector<QPDFPageObjectHelper> pages;
};

namespace {

const size_t most_bytes = 4u << 20; /* of one page */
const int most_depth = 4;           /* of forms in forms */
const size_t most_operands = 64;
const size_t most_states = 64;
const double scan_pixels = 300000; /* a small page at 100 dpi */

struct matrix {
    double a = 1, b = 0, c = 0, d = 1, e = 0, f = 0;
};

matrix multiply(const matrix &m, const matrix &n) {
    return {m.a * n.a + m.b * n.c,       m.a * n.b + m.b * n.d,       m.c * n.a + m.d * n.c,
            m.c * n.b + m.d * n.d,       m.e * n.a + m.f * n.c + n.e, m.e * n.b + m.f * n.d + n.f};
}

struct state {
    matrix place;
    int mode = 0; /* of text rendering */
};

class collector : public Pipeline {
  public:
    explicit collector(size_t ceiling) : Pipeline("content", nullptr), most(ceiling) {
    }
    void write(unsigned char const *data, size_t size) override {
        bytes.append(reinterpret_cast<const char *>(data), std::min(size, most - bytes.size()));
        if (bytes.size() == most)
            throw std::length_error("content");
    }
    void finish() override {
    }
    std::string bytes;

  private:
    size_t most;
};

/* Appends a stream's content, as far as there is room; qpdf may turn the refusal into a warning. */
void collect(QPDFObjectHandle &stream, collector &target, pdf_marks *marks) {
    const char end = ' ';
    try {
        stream.pipeStreamData(&target, 0, qpdf_dl_generalized, true);
        target.write(reinterpret_cast<const unsigned char *>(&end), 1);
    } catch (const std::length_error &) {
        marks->is_cut = true;
    }
}

class counter {
  public:
    counter(const QPDFObjectHandle::Rectangle &page, pdf_marks *target) : box(page), marks(target) {
    }

    void read(const std::string &bytes, QPDFObjectHandle resources, const state &start, int depth) {
        auto source = std::make_shared<BufferInputSource>("content", bytes);
        QPDFTokenizer tokenizer;
        std::vector<QPDFTokenizer::Token> operands;
        std::vector<state> states{start};

        tokenizer.allowEOF();
        for (;;) {
            const QPDFTokenizer::Token token = tokenizer.readToken(source, "content", true);
            if (token.getType() == QPDFTokenizer::tt_eof)
                return;
            if (token.getType() != QPDFTokenizer::tt_word) {
                if (operands.size() < most_operands)
                    operands.push_back(token);
                continue;
            }
            if (token.getValue() == "ID")
                tokenizer.expectInlineImage(source);
            apply(token.getValue(), operands, states, resources, depth);
            operands.clear();
        }
    }

  private:
    static double number(const std::vector<QPDFTokenizer::Token> &operands, size_t i) {
        return i < operands.size() ? std::strtod(operands[i].getValue().c_str(), nullptr) : 0;
    }

    void apply(const std::string &word, const std::vector<QPDFTokenizer::Token> &operands, std::vector<state> &states,
               QPDFObjectHandle &resources, int depth) {
        state &now = states.back();
        if (word == "q" && states.size() < most_states)
            states.push_back(state(now));
        else if (word == "Q" && states.size() > 1)
            states.pop_back();
        else if (word == "cm" && operands.size() == 6)
            now.place = multiply({number(operands, 0), number(operands, 1), number(operands, 2), number(operands, 3),
                                  number(operands, 4), number(operands, 5)}, now.place);
        else if (word == "Tr")
            now.mode = static_cast<int>(number(operands, 0));
        else if (word == "Tj" || word == "TJ" || word == "'" || word == "\"")
            (now.mode == 3 ? marks->invisible_texts : marks->visible_texts)++;
        else if (word == "f" || word == "F" || word == "f*" || word == "S" || word == "s" || word == "B" || word == "b")
            marks->paths++;
        else if (word == "EI")
            add_picture(now.place);
        else if (word == "Do" && !operands.empty())
            draw(operands.back().getValue(), resources, now, depth);
    }

    void draw(const std::string &name, QPDFObjectHandle &resources, const state &now, int depth) {
        QPDFObjectHandle objects = resources.isDictionary() ? resources.getKey("/XObject") : resources;
        QPDFObjectHandle object = objects.isDictionary() ? objects.getKey(name) : objects;
        if (!object.isStream())
            return;
        QPDFObjectHandle entries = object.getDict();
        if (entries.getKey("/Subtype").isNameAndEquals("/Image"))
            add_picture(now.place);
        else if (entries.getKey("/Subtype").isNameAndEquals("/Form") && depth < most_depth)
            read_form(object, entries, resources, now, depth);
    }

    void read_form(QPDFObjectHandle &form, QPDFObjectHandle &entries, QPDFObjectHandle &resources, const state &now,
                   int depth) {
        collector content(spare);
        QPDFObjectHandle own = entries.getKey("/Resources");
        state inner = now;
        collect(form, content, marks);
        spare -= content.bytes.size();
        if (entries.getKey("/Matrix").isMatrix()) {
            const QPDFObjectHandle::Matrix m = entries.getKey("/Matrix").getArrayAsMatrix();
            inner.place = multiply({m.a, m.b, m.c, m.d, m.e, m.f}, now.place);
        }
        read(content.bytes, own.isDictionary() ? own : resources, inner, depth + 1);
    }

    /* The unit square, as the box around it, within the page. */
    void add_picture(const matrix &m) {
        const double left = m.e + std::min(0.0, m.a) + std::min(0.0, m.c);
        const double right = m.e + std::max(0.0, m.a) + std::max(0.0, m.c);
        const double bottom = m.f + std::min(0.0, m.b) + std::min(0.0, m.d);
        const double top = m.f + std::max(0.0, m.b) + std::max(0.0, m.d);
        const double width = std::min(right, box.urx) - std::max(left, box.llx);
        const double height = std::min(top, box.ury) - std::max(bottom, box.lly);
        const double all = (box.urx - box.llx) * (box.ury - box.lly);
        if (width > 0 && height > 0 && all > 0)
            marks->image_share = std::min(1.0, marks->image_share + width * height / all);
    }

    const QPDFObjectHandle::Rectangle box;
    pdf_marks *marks;
    size_t spare = most_bytes;
};

template <typename Function> int guarded(Function function) {
    try {
        return function();
    } catch (...) {
        return -1;
    }
}

} // namespace

struct pdf_content *pdf_content_open(const unsigned char *bytes, size_t size) {
    std::unique_ptr<pdf_content> content;
    const int status = guarded([&] {
        content = std::make_unique<pdf_content>();
        auto logger = QPDFLogger::create();
        logger->setInfo(logger->discard());
        logger->setWarn(logger->discard());
        logger->setError(logger->discard());
        content->document.setSuppressWarnings(true);
        content->document.setLogger(logger);
        content->document.processMemoryFile("input", reinterpret_cast<const char *>(bytes), size);
        content->pages = QPDFPageDocumentHelper(content->document).getAllPages();
        return 0;
    });
    return status == 0 ? content.release() : nullptr;
}

bool pdf_content_has_scan(struct pdf_content *content, int number) {
    return guarded([&] {
        for (auto &image : content->pages.at(static_cast<size_t>(number)).getImages()) {
            QPDFObjectHandle entries = image.second.getDict();
            if (entries.getKey("/Width").isInteger() && entries.getKey("/Height").isInteger() &&
                static_cast<double>(entries.getKey("/Width").getIntValue()) *
                        static_cast<double>(entries.getKey("/Height").getIntValue()) > scan_pixels)
                return 1;
        }
        return 0;
    }) == 1;
}

int pdf_content_marks(struct pdf_content *content, int number, struct pdf_marks *marks) {
    *marks = {};
    return guarded([&] {
        QPDFPageObjectHelper &page = content->pages.at(static_cast<size_t>(number));
        collector bytes(most_bytes);
        /* Not all at once as qpdf would: it keeps the whole of it in memory. */
        for (auto &part : page.getObjectHandle().getPageContents()) {
            collect(part, bytes, marks);
        }
        counter(page.getCropBox().getArrayAsRectangle(), marks)
            .read(bytes.bytes, page.getAttribute("/Resources", false), state(), 0);
        return 0;
    });
}
