/* SPDX-License-Identifier: MIT
 * Operations on buckets, and the subresources that tools ask for although no bucket here has them. */
#include "lib/clock.h"
#include "lib/text.h"
#include "storage/store/routes.h"
#include "storage/store/xml.h"
#include <errno.h>
#include <string.h>

#define OWNER "<Owner><ID>filemill</ID><DisplayName>filemill</DisplayName></Owner>"

/* `error` when asked by GET, or the document that says "nothing set". Any other method is not implemented. */
static const struct {
    const char *name;
    enum s3_error error;
    const char *document;
} subresources[] = {
    {.name = "acl",
     .document = "<AccessControlPolicy xmlns=\"" XML_NAMESPACE "\">" OWNER
                 "<AccessControlList><Grant><Grantee xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" "
                 "xsi:type=\"CanonicalUser\"><ID>filemill</ID><DisplayName>filemill</DisplayName></Grantee>"
                 "<Permission>FULL_CONTROL</Permission></Grant></AccessControlList></AccessControlPolicy>"},
    {.name = "versioning", .document = "<VersioningConfiguration xmlns=\"" XML_NAMESPACE "\"/>"},
    {.name = "requestPayment",
     .document = "<RequestPaymentConfiguration xmlns=\"" XML_NAMESPACE
                 "\"><Payer>BucketOwner</Payer></RequestPaymentConfiguration>"},
    {.name = "policy", .error = S3_NO_SUCH_BUCKET_POLICY},
    {.name = "cors", .error = S3_NO_SUCH_CORS},
    {.name = "lifecycle", .error = S3_NO_SUCH_LIFECYCLE},
    {.name = "website", .error = S3_NO_SUCH_WEBSITE},
    {.name = "tagging", .error = S3_NO_SUCH_TAG_SET},
    {.name = "encryption", .error = S3_NO_SUCH_ENCRYPTION},
    {.name = "object-lock", .error = S3_NO_SUCH_OBJECT_LOCK},
    {.name = "versions", .error = S3_NOT_IMPLEMENTED},
    {.name = "versionId", .error = S3_NOT_IMPLEMENTED},
    {.name = "notification", .error = S3_NOT_IMPLEMENTED},
    {.name = "replication", .error = S3_NOT_IMPLEMENTED},
    {.name = "logging", .error = S3_NOT_IMPLEMENTED},
    {.name = "torrent", .error = S3_NOT_IMPLEMENTED},
    {.name = "retention", .error = S3_NOT_IMPLEMENTED},
    {.name = "legal-hold", .error = S3_NOT_IMPLEMENTED},
    {.name = "select", .error = S3_NOT_IMPLEMENTED},
    {.name = "restore", .error = S3_NOT_IMPLEMENTED},
    {.name = "accelerate", .error = S3_NOT_IMPLEMENTED},
    {.name = "attributes", .error = S3_NOT_IMPLEMENTED},
    /* served by rows of their own; named here so that a wrong method does not become a plain operation */
    {.name = "location", .error = S3_METHOD_NOT_ALLOWED},
    {.name = "uploads", .error = S3_METHOD_NOT_ALLOWED},
    {.name = "uploadId", .error = S3_METHOD_NOT_ALLOWED},
    {.name = "delete", .error = S3_METHOD_NOT_ALLOWED},
};
#define SUBRESOURCE_COUNT (sizeof(subresources) / sizeof(subresources[0]))

bool is_subresource(const char *name) {
    for (size_t i = 0; i < SUBRESOURCE_COUNT; i++) {
        if (strcmp(subresources[i].name, name) == 0)
            return true;
    }
    return false;
}

void get_subresource(struct call *call) {
    struct buffer xml;

    if (call->bucket_name[0] != '\0' && call_bucket(call) == NULL)
        return;
    if (call->key[0] != '\0' && call_query(call, "tagging") != NULL &&
        strcmp(http_request_method(call->request), "GET") == 0) {
        /* An object without tags has an empty set; a bucket without has none. */
        buffer_init(&xml, 4096);
        call_reply_document(call, &xml,
                            buffer_append_text(&xml, XML_DECLARATION "<Tagging xmlns=\"" XML_NAMESPACE
                                                                     "\"><TagSet></TagSet></Tagging>"));
        return;
    }
    for (size_t i = 0; i < SUBRESOURCE_COUNT; i++) {
        if (call_query(call, subresources[i].name) == NULL)
            continue;
        if (strcmp(http_request_method(call->request), "GET") != 0) {
            call_fail(call, subresources[i].error == S3_METHOD_NOT_ALLOWED ? S3_METHOD_NOT_ALLOWED
                                                                           : S3_NOT_IMPLEMENTED);
            return;
        }
        if (subresources[i].document == NULL) {
            call_fail(call, subresources[i].error);
            return;
        }
        buffer_init(&xml, 4096);
        call_reply_document(call, &xml,
                            buffer_append_format(&xml, XML_DECLARATION "%s", subresources[i].document));
        return;
    }
    call_fail(call, S3_NOT_IMPLEMENTED);
}

void list_buckets(struct call *call) {
    struct buffer xml;
    int cut;

    buffer_init(&xml, CALL_XML_MAX);
    cut = buffer_append_text(&xml, XML_DECLARATION "<ListAllMyBucketsResult xmlns=\"" XML_NAMESPACE
                                                   "\">" OWNER "<Buckets>");
    for (struct bucket *bucket = disk_first_bucket(call->store->disk); bucket != NULL;
         bucket = bucket->next) {
        char created[32];
        clock_format_iso8601(created, sizeof(created), bucket->created_ms);
        cut |= buffer_append_text(&xml, "<Bucket>");
        cut |= xml_element(&xml, "Name", bucket->name);
        cut |= xml_element(&xml, "CreationDate", created);
        cut |= buffer_append_text(&xml, "</Bucket>");
    }
    cut |= buffer_append_text(&xml, "</Buckets></ListAllMyBucketsResult>");
    call_reply_document(call, &xml, cut);
}

void head_bucket(struct call *call) {
    struct reply reply = {.count = 0};

    if (call_bucket(call) == NULL)
        return;
    reply_header(&reply, "x-amz-bucket-region", call->store->credentials.region);
    call_reply(call, 200, &reply);
}

void create_bucket(struct call *call) {
    struct reply reply = {.count = 0};
    char location[BUCKET_NAME_SIZE + 1];

    if (disk_bucket(call->store->disk, call->bucket_name) == NULL &&
        disk_create_bucket(call->store->disk, call->bucket_name) == NULL) {
        call_fail_errno(call);
        return;
    }
    (void)text_format(location, sizeof(location), "/%s", call->bucket_name);
    reply_header(&reply, "Location", location);
    call_reply(call, 200, &reply);
}

void remove_bucket(struct call *call) {
    struct bucket *bucket = call_bucket(call);

    if (bucket == NULL)
        return;
    if (disk_remove_bucket(call->store->disk, bucket) == 0)
        call_reply(call, 204, NULL);
    else if (errno == ENOTEMPTY)
        call_fail(call, S3_BUCKET_NOT_EMPTY);
    else
        call_fail_errno(call);
}

/* The oldest region is written as an empty constraint. */
void get_location(struct call *call) {
    const char *region = call->store->credentials.region;
    struct buffer xml;

    if (call_bucket(call) == NULL)
        return;
    buffer_init(&xml, 4096);
    call_reply_document(call, &xml,
                        buffer_append_format(&xml,
                                             XML_DECLARATION "<LocationConstraint xmlns=\"" XML_NAMESPACE
                                                             "\">%s</LocationConstraint>",
                                             strcmp(region, "us-east-1") == 0 ? "" : region));
}
