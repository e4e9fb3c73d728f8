// SPDX-License-Identifier: MIT
// Encrypts a file before it is uploaded, as docs/encryption.md has it, by WebCrypto alone: for browsers and Node 20.
//
//   const key = await (await fetch(api + "/v1/encryption/key", { headers })).json();
//   const { encryption, body } = await seal(key, file);  // a Blob or bytes
//
// init-upload takes `encryption` along (and the size of the plain file); PUT `body` to the URL that it answers.

const CHUNK = 65536;
const utf8 = (text) => new TextEncoder().encode(text);

function join(...parts) {
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

const toBase64url = (bytes) =>
  btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
const fromBase64url = (text) =>
  Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));

async function mac(key, text) {
  const bytes = key.length > 0 ? key : new Uint8Array(32); // the same to HMAC; WebCrypto takes no empty key
  const hmac = await crypto.subtle.importKey("raw", bytes, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  return new Uint8Array(await crypto.subtle.sign("HMAC", hmac, text));
}

const aesKey = (bytes) => crypto.subtle.importKey("raw", bytes, "AES-GCM", false, ["encrypt"]);

async function encrypt(key, nonce, plain, additionalData) {
  const how = { name: "AES-GCM", iv: nonce, additionalData };
  return new Uint8Array(await crypto.subtle.encrypt(how, key, plain));
}

// RFC 9180, base mode, one message: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM.
async function wrap(answer, dataKey) {
  const none = new Uint8Array(0);
  const version = utf8("HPKE-v1");
  const kem = join(utf8("KEM"), Uint8Array.of(0, 0x20));
  const suite = join(utf8("HPKE"), Uint8Array.of(0, 0x20, 0, 1, 0, 2));
  const extract = (id, salt, label, material) => mac(salt, join(version, id, utf8(label), material));
  const expand = async (id, key, label, info, size) =>
    (await mac(key, join(Uint8Array.of(0, size), version, id, utf8(label), info, Uint8Array.of(1)))).slice(0, size);

  const theirs = fromBase64url(answer.key.x);
  const peer = await crypto.subtle.importKey("raw", theirs, { name: "X25519" }, false, []);
  const own = await crypto.subtle.generateKey({ name: "X25519" }, false, ["deriveBits"]);
  const sender = new Uint8Array(await crypto.subtle.exportKey("raw", own.publicKey));
  const shared = new Uint8Array(await crypto.subtle.deriveBits({ name: "X25519", public: peer }, own.privateKey, 256));

  const common = await extract(kem, none, "eae_prk", shared);
  const secret = await expand(kem, common, "shared_secret", join(sender, theirs), 32);
  const context = join(
    Uint8Array.of(0),
    await extract(suite, none, "psk_id_hash", none),
    await extract(suite, none, "info_hash", utf8(answer.info)),
  );
  const base = await extract(suite, secret, "secret", none);
  const key = await aesKey(await expand(suite, base, "key", context, 32));
  const nonce = await expand(suite, base, "base_nonce", context, 12);
  return toBase64url(join(sender, await encrypt(key, nonce, dataKey, none)));
}

export async function seal(answer, plain) {
  const file = plain instanceof Blob ? plain : new Blob([plain]);
  const dataKey = crypto.getRandomValues(new Uint8Array(32));
  const head = join(utf8("FMSEAL"), Uint8Array.of(1, 16), crypto.getRandomValues(new Uint8Array(7)), Uint8Array.of(1));
  const commitment = (await mac(dataKey, join(utf8("filemill sealed object"), head))).slice(0, 16);
  const header = join(head, commitment);
  const key = await aesKey(dataKey);
  const chunks = Math.max(1, Math.ceil(file.size / CHUNK));
  const body = [header];
  for (let i = 0; i < chunks; i++) {
    const nonce = new Uint8Array(12);
    nonce.set(head.subarray(8, 15));
    new DataView(nonce.buffer).setUint32(7, i);
    nonce[11] = i + 1 === chunks ? 1 : 0;
    const part = await file.slice(i * CHUNK, (i + 1) * CHUNK).arrayBuffer();
    body.push(new Blob([await encrypt(key, nonce, part, header)])); // a Blob: a browser may keep it out of memory
  }
  const encryption = { algorithm: answer.algorithm, wrapped_key: await wrap(answer, dataKey) };
  return { encryption, body: new Blob(body) };
}
