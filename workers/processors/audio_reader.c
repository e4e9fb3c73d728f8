/* SPDX-License-Identifier: MIT
 * avformat_find_stream_info is never called: it would open decoders for every stream, video too, to learn
 * what the first decoded frame tells anyway. The sample counts that encoders ask players to skip (delay,
 * padding) are applied here: at the end of MPEG audio they are not, because audiowaveform does not. */
#include "lib/text.h"
#include "workers/processors/engines.h"
#include "workers/processors/audio_reader.h"

#include <inttypes.h>
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/intreadwrite.h>
#include <stdlib.h>
#include <string.h>

#include "workers/processors/audio_samples.h"

#define IO_BUFFER_BYTES 32768
#define PROBE_BYTES (1 << 20)
#define MAX_STREAMS "64"
#define MAX_SAMPLE_RATE 768000
#define MAX_DAMAGED_IN_A_ROW 1000
#define SKIP_SAMPLES_SIZE 10

/* Containers that hold sound and nothing that leads elsewhere: no playlists, concatenation or subtitles. */
static const char demuxers[] = "wav,w64,aiff,caf,au,mp3,flac,ogg,aac,amr,wv,tta,ape,mov,matroska";

static const enum AVCodecID codecs[] = {
    AV_CODEC_ID_PCM_S16LE,    AV_CODEC_ID_PCM_S16BE, AV_CODEC_ID_PCM_U8,    AV_CODEC_ID_PCM_S8,
    AV_CODEC_ID_PCM_S24LE,    AV_CODEC_ID_PCM_S24BE, AV_CODEC_ID_PCM_S32LE, AV_CODEC_ID_PCM_S32BE,
    AV_CODEC_ID_PCM_F32LE,    AV_CODEC_ID_PCM_F32BE, AV_CODEC_ID_PCM_F64LE, AV_CODEC_ID_PCM_F64BE,
    AV_CODEC_ID_PCM_ALAW,     AV_CODEC_ID_PCM_MULAW, AV_CODEC_ID_ADPCM_MS,  AV_CODEC_ID_ADPCM_IMA_WAV,
    AV_CODEC_ID_ADPCM_IMA_QT, AV_CODEC_ID_MP1,       AV_CODEC_ID_MP2,       AV_CODEC_ID_MP3,
    AV_CODEC_ID_AAC,          AV_CODEC_ID_FLAC,      AV_CODEC_ID_ALAC,      AV_CODEC_ID_VORBIS,
    AV_CODEC_ID_OPUS,         AV_CODEC_ID_SPEEX,     AV_CODEC_ID_AMR_NB,    AV_CODEC_ID_AMR_WB,
    AV_CODEC_ID_WAVPACK,      AV_CODEC_ID_TTA,       AV_CODEC_ID_APE,       AV_CODEC_ID_AC3,
    AV_CODEC_ID_EAC3,
};

struct audio_reader {
    struct processor_context *context;
    size_t position;
    AVFormatContext *format;
    AVCodecContext *decoder;
    AVStream *stream;
    AVPacket *packet;
    AVFrame *frame;
    int channels, sample_rate; /* of the first samples; 0 before */
    int draining;
    uint64_t skip; /* samples still to be left out */
    uint64_t damaged, damaged_in_a_row;
    uint64_t frames; /* samples of one channel so far */
    int16_t *values;
    size_t values_size;
};

/* --- bytes ---------------------------------------------------------------------------------------------- */

static int read_bytes(void *opaque, uint8_t *target, int size) {
    struct audio_reader *reader = opaque;
    size_t left = reader->context->input_size - reader->position;
    size_t count = (size_t)size < left ? (size_t)size : left;

    if (count == 0)
        return AVERROR_EOF;
    memcpy(target, reader->context->input + reader->position, count);
    reader->position += count;
    return (int)count;
}

static int64_t seek_bytes(void *opaque, int64_t offset, int whence) {
    struct audio_reader *reader = opaque;
    int64_t size = (int64_t)reader->context->input_size;

    switch (whence & ~AVSEEK_FORCE) {
    case AVSEEK_SIZE:
        return size;
    case SEEK_CUR:
        offset += (int64_t)reader->position;
        break;
    case SEEK_END:
        offset += size;
        break;
    default:
        break;
    }
    if (offset < 0 || offset > size)
        return AVERROR(EINVAL);
    reader->position = (size_t)offset;
    return offset;
}

static int refuse_opening(AVFormatContext *format, AVIOContext **io, const char *url, int flags,
                          AVDictionary **options) {
    *io = NULL;
    return AVERROR(EPERM);
}

/* --- opening -------------------------------------------------------------------------------------------- */

static int fail_with_av(struct processor_context *context, int error, const char *what) {
    char words[AV_ERROR_MAX_STRING_SIZE] = "";

    if (error == AVERROR(ENOMEM))
        return processor_fail(context, "memory_limit", "no memory left");
    (void)av_strerror(error, words, sizeof words);
    return processor_fail(context, "bad_input", "%s: %s", what, words);
}

static int open_container(struct audio_reader *reader) {
    AVFormatContext *format = avformat_alloc_context();
    unsigned char *buffer = av_malloc(IO_BUFFER_BYTES);
    AVIOContext *io =
        buffer == NULL ? NULL
                       : avio_alloc_context(buffer, IO_BUFFER_BYTES, 0, reader, read_bytes, NULL, seek_bytes);
    AVDictionary *options = NULL;
    int error = AVERROR(ENOMEM);

    if (format != NULL && io != NULL) {
        format->pb = io;
        format->flags |= AVFMT_FLAG_CUSTOM_IO;
        format->io_open = refuse_opening;
        format->probesize = PROBE_BYTES;
        av_dict_set(&options, "format_whitelist", demuxers, 0);
        av_dict_set(&options, "protocol_whitelist", "none", 0);
        av_dict_set(&options, "max_streams", MAX_STREAMS, 0);
        error = avformat_open_input(&format, NULL, NULL, &options); /* frees the format where it fails */
        av_dict_free(&options);
    }
    reader->format = error == 0 ? format : NULL;
    /* Not enough memory is what demuxers also say where a header is cut: it is the header that is wrong. */
    if (error == AVERROR(ENOMEM))
        error = AVERROR_INVALIDDATA;
    if (reader->format != NULL)
        return 0;
    (void)fail_with_av(reader->context, error, "not a sound file");
    return -1;
}

static int is_known_codec(enum AVCodecID codec) {
    for (size_t i = 0; i < sizeof codecs / sizeof codecs[0]; i++) {
        if (codecs[i] == codec)
            return 1;
    }
    return 0;
}

/* The first stream of sound; all others are dropped by the demuxer. */
static int choose_stream(struct audio_reader *reader) {
    const AVStream *unknown = NULL;

    for (unsigned i = 0; i < reader->format->nb_streams; i++) {
        AVStream *stream = reader->format->streams[i];
        stream->discard = AVDISCARD_ALL;
        if (stream->codecpar->codec_type != AVMEDIA_TYPE_AUDIO || reader->stream != NULL)
            continue;
        if (is_known_codec(stream->codecpar->codec_id))
            reader->stream = stream;
        else
            unknown = stream;
    }
    if (reader->stream != NULL) {
        reader->stream->discard = AVDISCARD_DEFAULT;
        return 0;
    }
    if (unknown != NULL)
        return processor_fail(reader->context, "unsupported_input", "sound coded as %s",
                              avcodec_get_name(unknown->codecpar->codec_id));
    return processor_fail(reader->context, "bad_input", "no audio stream");
}

static int open_decoder(struct audio_reader *reader) {
    const AVCodec *codec = avcodec_find_decoder(reader->stream->codecpar->codec_id);
    int error;

    if (codec == NULL)
        return processor_fail(reader->context, "unsupported_input", "no decoder for %s",
                              avcodec_get_name(reader->stream->codecpar->codec_id));
    reader->decoder = avcodec_alloc_context3(codec);
    if (reader->decoder == NULL)
        return fail_with_av(reader->context, AVERROR(ENOMEM), "decoder");
    error = avcodec_parameters_to_context(reader->decoder, reader->stream->codecpar);
    reader->decoder->thread_count = 1;
    reader->decoder->flags2 |= AV_CODEC_FLAG2_SKIP_MANUAL;
    reader->decoder->pkt_timebase = reader->stream->time_base;
    if (error == 0)
        error = avcodec_open2(reader->decoder, codec, NULL);
    return error == 0 ? 0 : fail_with_av(reader->context, error, "decoder refused the stream");
}

struct audio_reader *audio_reader_new(struct processor_context *context) {
    struct audio_reader *reader = calloc(1, sizeof *reader);

    if (reader == NULL) {
        (void)processor_fail(context, "memory_limit", "no memory left");
        return NULL;
    }
    reader->context = context;
    reader->packet = av_packet_alloc();
    reader->frame = av_frame_alloc();
    if (reader->packet == NULL || reader->frame == NULL)
        (void)fail_with_av(context, AVERROR(ENOMEM), "frame");
    else if (open_container(reader) == 0 && choose_stream(reader) == 0 && open_decoder(reader) == 0)
        return reader;
    audio_reader_free(reader);
    return NULL;
}

void audio_reader_free(struct audio_reader *reader) {
    if (reader == NULL)
        return;
    if (reader->format != NULL) {
        AVIOContext *io = reader->format->pb;
        avformat_close_input(&reader->format);
        av_freep(&io->buffer);
        avio_context_free(&io);
    }
    avcodec_free_context(&reader->decoder);
    av_packet_free(&reader->packet);
    av_frame_free(&reader->frame);
    free(reader->values);
    free(reader);
}

uint64_t audio_reader_duration_ms(const struct audio_reader *reader) {
    const AVStream *stream = reader->stream;

    if (stream->duration > 0)
        return (uint64_t)av_rescale_q(stream->duration, stream->time_base, (AVRational){1, 1000});
    return reader->format->duration > 0 ? (uint64_t)(reader->format->duration / 1000) : 0;
}

uint64_t audio_reader_damaged_packets(const struct audio_reader *reader) {
    return reader->damaged;
}

/* --- decoding ------------------------------------------------------------------------------------------- */

static int note_damage(struct audio_reader *reader, int error) {
    if (error == AVERROR(ENOMEM))
        return fail_with_av(reader->context, error, "decoder");
    reader->damaged++;
    if (++reader->damaged_in_a_row > MAX_DAMAGED_IN_A_ROW)
        return processor_fail(reader->context, "bad_input", "%" PRIu64 " damaged packets", reader->damaged);
    return 0;
}

/* Gives the decoder a packet of our stream, or at the end the wish to be drained. */
static int feed(struct audio_reader *reader) {
    int error = av_read_frame(reader->format, reader->packet);

    if (error == AVERROR(ENOMEM))
        return fail_with_av(reader->context, error, "demuxer");
    if (error < 0) { /* the end, or a break that no demuxer gets over */
        reader->damaged += error != AVERROR_EOF;
        reader->draining = 1;
        error = avcodec_send_packet(reader->decoder, NULL);
        return error == 0 || error == AVERROR_EOF ? 0 : note_damage(reader, error);
    }
    if (reader->packet->stream_index == reader->stream->index)
        error = avcodec_send_packet(reader->decoder, reader->packet);
    av_packet_unref(reader->packet);
    return error == 0 ? 0 : note_damage(reader, error);
}

/* Takes the encoder's delay from the front and its padding from the end of the frame. */
static int skip_samples(struct audio_reader *reader) {
    AVFrame *frame = reader->frame;
    const AVFrameSideData *side = av_frame_get_side_data(frame, AV_FRAME_DATA_SKIP_SAMPLES);
    enum AVCodecID codec = reader->decoder->codec_id;
    int first;

    if (side != NULL && side->size >= SKIP_SAMPLES_SIZE) {
        uint64_t end = AV_RL32(side->data + 4);
        reader->skip += AV_RL32(side->data);
        /* Opus is decoded at 48 kHz; Matroska's demuxer counts at the rate of the header. */
        if (codec == AV_CODEC_ID_OPUS && reader->stream->codecpar->sample_rate > 0)
            end = end * (uint64_t)frame->sample_rate / (uint64_t)reader->stream->codecpar->sample_rate;
        if (codec != AV_CODEC_ID_MP1 && codec != AV_CODEC_ID_MP2 && codec != AV_CODEC_ID_MP3)
            frame->nb_samples -= end < (uint64_t)frame->nb_samples ? (int)end : frame->nb_samples;
    }
    first = reader->skip < (uint64_t)frame->nb_samples ? (int)reader->skip : frame->nb_samples;
    reader->skip -= (uint64_t)first;
    return first;
}

static int check_shape(struct audio_reader *reader) {
    const AVFrame *frame = reader->frame;
    int channels = frame->ch_layout.nb_channels;

    if (reader->sample_rate == 0) {
        if (channels < 1 || channels > AUDIO_MAX_CHANNELS || frame->sample_rate < 1 ||
            frame->sample_rate > MAX_SAMPLE_RATE)
            return processor_fail(reader->context, "unsupported_input", "%d channels at %d Hz", channels,
                                  frame->sample_rate);
        reader->channels = channels;
        reader->sample_rate = frame->sample_rate;
    }
    if (channels != reader->channels || frame->sample_rate != reader->sample_rate)
        return processor_fail(reader->context, "unsupported_input", "rate or channels change on the way");
    return 0;
}

static int take_frame(struct audio_reader *reader, struct audio_samples *samples) {
    const AVFrame *frame = reader->frame;
    size_t count;
    int first;

    if (check_shape(reader) != 0)
        return -1;
    first = skip_samples(reader);
    count = (size_t)(frame->nb_samples - first) * (size_t)reader->channels;
    if (count > reader->values_size) {
        int16_t *values = reallocarray(reader->values, count, sizeof *values);
        if (values == NULL)
            return fail_with_av(reader->context, AVERROR(ENOMEM), "samples");
        reader->values = values;
        reader->values_size = count;
    }
    if (audio_samples_convert(frame, reader->decoder->codec_id, reader->channels, first, reader->values) != 0)
        return processor_fail(reader->context, "unsupported_input", "sample format %d", frame->format);
    *samples = (struct audio_samples){reader->values, count, reader->channels, reader->sample_rate};
    return 1;
}

/* What was decoded counts: headers lie. */
static int check_length(struct audio_reader *reader, const struct audio_samples *samples) {
    uint64_t allowed = reader->context->guards.audio_seconds;

    if (samples->channels <= 0 || samples->sample_rate <= 0)
        return 0;
    reader->frames += samples->count / (size_t)samples->channels;
    return allowed != 0 && reader->frames > allowed * (uint64_t)samples->sample_rate
               ? processor_fail(reader->context, "too_long", "more than %llu seconds", (unsigned long long)allowed)
               : 0;
}

int audio_reader_next(struct audio_reader *reader, struct audio_samples *samples) {
    for (;;) {
        int error = avcodec_receive_frame(reader->decoder, reader->frame);
        if (error == 0) {
            reader->damaged_in_a_row = 0;
            int status = take_frame(reader, samples);
            av_frame_unref(reader->frame);
            if (status > 0 && check_length(reader, samples) != 0)
                return -1;
            if (status < 0 || samples->count > 0)
                return status;
            continue;
        }
        if (error == AVERROR_EOF || (error == AVERROR(EAGAIN) && reader->draining)) {
            *samples =
                (struct audio_samples){.channels = reader->channels, .sample_rate = reader->sample_rate};
            if (samples->sample_rate == 0) { /* nothing came: what the header said */
                samples->channels = reader->stream->codecpar->ch_layout.nb_channels;
                samples->sample_rate = reader->stream->codecpar->sample_rate;
            }
            return 0;
        }
        if (error != AVERROR(EAGAIN) && note_damage(reader, error) != 0)
            return -1;
        if (!reader->draining && feed(reader) != 0)
            return -1;
    }
}

/* --- in the nursery ------------------------------------------------------------------------------------- */

static void say_nothing(void *object, int level, const char *format, va_list arguments) {
}

int audio_reader_warm(void) {
    av_log_set_callback(say_nothing);
    for (size_t i = 0; i < sizeof codecs / sizeof codecs[0]; i++) {
        const AVCodec *codec = avcodec_find_decoder(codecs[i]);
        AVCodecContext *decoder = codec == NULL ? NULL : avcodec_alloc_context3(codec);
        if (decoder == NULL)
            continue;
        decoder->thread_count = 1;
        decoder->ch_layout = (AVChannelLayout)AV_CHANNEL_LAYOUT_STEREO;
        decoder->sample_rate = 48000;
        (void)avcodec_open2(decoder, codec, NULL); /* fills static tables; some want a header and refuse */
        avcodec_free_context(&decoder);
    }
    return avcodec_find_decoder(AV_CODEC_ID_PCM_S16LE) != NULL ? 0 : -1;
}

const char *engine_libav(void) {
    static char name[96];

    (void)text_format(name, sizeof name, "libav/%s", av_version_info());
    return name;
}
