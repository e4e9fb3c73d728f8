/* SPDX-License-Identifier: MIT
 * The errors of S3 that this store gives: code, status and words, one row each
 * (https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html). */
#ifndef STORAGE_STORE_ERRORS_H
#define STORAGE_STORE_ERRORS_H

#include "lib/buffer.h"

#define S3_ERRORS(ROW)                                                                                       \
    ROW(ACCESS_DENIED, 403, "AccessDenied", "Access Denied")                                                 \
    ROW(AUTHORIZATION_MALFORMED, 400, "AuthorizationHeaderMalformed",                                        \
        "The authorization header is malformed.")                                                            \
    ROW(AUTHORIZATION_QUERY, 400, "AuthorizationQueryParametersError",                                       \
        "The query parameters of the signature are "                                                         \
        "missing or malformed.")                                                                             \
    ROW(BAD_DIGEST, 400, "BadDigest",                                                                        \
        "The Content-MD5 or checksum that you sent did not match what was received.")                        \
    ROW(BUCKET_NOT_EMPTY, 409, "BucketNotEmpty", "The bucket that you tried to delete is not empty.")        \
    ROW(CONTENT_SHA256_MISMATCH, 400, "XAmzContentSHA256Mismatch",                                           \
        "The provided 'x-amz-content-sha256' header does "                                                   \
        "not match what was computed.")                                                                      \
    ROW(CORS_FORBIDDEN, 403, "AccessForbidden", "CORSResponse: This CORS request is not allowed.")           \
    ROW(ENTITY_TOO_LARGE, 400, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size.")   \
    ROW(ENTITY_TOO_SMALL, 400, "EntityTooSmall", "A part other than the last is smaller than 5 MiB.")        \
    ROW(INCOMPLETE_BODY, 400, "IncompleteBody", "The body is not as long as it was announced.")              \
    ROW(INTERNAL, 500, "InternalError", "We encountered an internal error. Please try again.")               \
    ROW(DISK_FULL, 507, "InternalError", "The disk is full.")                                                \
    ROW(INVALID_ACCESS_KEY, 403, "InvalidAccessKeyId",                                                       \
        "The access key id that you provided does not exist.")                                               \
    ROW(INVALID_ARGUMENT, 400, "InvalidArgument", "Invalid argument")                                        \
    ROW(INVALID_BUCKET_NAME, 400, "InvalidBucketName", "The specified bucket is not valid.")                 \
    ROW(INVALID_DIGEST, 400, "InvalidDigest", "The Content-MD5 or checksum that you sent is not valid.")     \
    ROW(INVALID_PART, 400, "InvalidPart", "A part was not found, or its entity tag did not match.")          \
    ROW(INVALID_PART_ORDER, 400, "InvalidPartOrder", "The list of parts was not in ascending order.")        \
    ROW(INVALID_RANGE, 416, "InvalidRange", "The requested range is not satisfiable")                        \
    ROW(INVALID_REQUEST, 400, "InvalidRequest", "Invalid Request")                                           \
    ROW(INVALID_URI, 400, "InvalidURI", "Couldn't parse the specified URI.")                                 \
    ROW(KEY_TOO_LONG, 400, "KeyTooLongError", "Your key is too long.")                                       \
    ROW(MALFORMED_XML, 400, "MalformedXML",                                                                  \
        "The XML that you provided was not well-formed or did not validate.")                                \
    ROW(METADATA_TOO_LARGE, 400, "MetadataTooLarge",                                                         \
        "Your metadata headers exceed the maximum allowed size.")                                            \
    ROW(METHOD_NOT_ALLOWED, 405, "MethodNotAllowed",                                                         \
        "The specified method is not allowed against this resource.")                                        \
    ROW(MISSING_CONTENT_LENGTH, 411, "MissingContentLength",                                                 \
        "You must provide the Content-Length HTTP header.")                                                  \
    ROW(NO_SUCH_BUCKET, 404, "NoSuchBucket", "The specified bucket does not exist")                          \
    ROW(NO_SUCH_BUCKET_POLICY, 404, "NoSuchBucketPolicy", "The bucket policy does not exist")                \
    ROW(NO_SUCH_CORS, 404, "NoSuchCORSConfiguration", "The CORS configuration does not exist")               \
    ROW(NO_SUCH_ENCRYPTION, 404, "ServerSideEncryptionConfigurationNotFoundError",                           \
        "The server side encryption "                                                                        \
        "configuration was not found")                                                                       \
    ROW(NO_SUCH_KEY, 404, "NoSuchKey", "The specified key does not exist.")                                  \
    ROW(NO_SUCH_LIFECYCLE, 404, "NoSuchLifecycleConfiguration",                                              \
        "The lifecycle configuration does not exist")                                                        \
    ROW(NO_SUCH_OBJECT_LOCK, 404, "ObjectLockConfigurationNotFoundError",                                    \
        "Object Lock configuration does not exist "                                                          \
        "for this bucket")                                                                                   \
    ROW(NO_SUCH_TAG_SET, 404, "NoSuchTagSet", "The TagSet does not exist")                                   \
    ROW(NO_SUCH_UPLOAD, 404, "NoSuchUpload", "The specified multipart upload does not exist.")               \
    ROW(NO_SUCH_WEBSITE, 404, "NoSuchWebsiteConfiguration",                                                  \
        "The specified bucket does not have a website "                                                      \
        "configuration")                                                                                     \
    ROW(NOT_IMPLEMENTED, 501, "NotImplemented",                                                              \
        "A header or parameter that you provided implies functionality that "                                \
        "is not implemented")                                                                                \
    ROW(NOT_MODIFIED, 304, "NotModified", "Not Modified")                                                    \
    ROW(PRECONDITION_FAILED, 412, "PreconditionFailed",                                                      \
        "At least one of the pre-conditions you specified did not "                                          \
        "hold")                                                                                              \
    ROW(REQUEST_TIME_SKEWED, 403, "RequestTimeTooSkewed",                                                    \
        "The difference between the request time and the server's "                                          \
        "time is too large.")                                                                                \
    ROW(SIGNATURE_MISMATCH, 403, "SignatureDoesNotMatch",                                                    \
        "The request signature we calculated does not match the "                                            \
        "signature you provided.")

enum s3_error {
    S3_OK,
#define S3_ERROR_ENUM(symbol, status, code, words) S3_##symbol,
    S3_ERRORS(S3_ERROR_ENUM)
#undef S3_ERROR_ENUM
        S3_ERROR_COUNT
};

int s3_error_status(enum s3_error error);
const char *s3_error_code(enum s3_error error);
const char *s3_error_words(enum s3_error error);
/* Row of the code and status that the HTTP guard refuses with. */
enum s3_error s3_error_of_status(int status);

#endif
