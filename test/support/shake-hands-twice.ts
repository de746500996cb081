// A program, since it blocks: a client of TLS 1.2 that shows one certificate, sends a request, shows another one in
// a second handshake on the same socket, and sends a request again. Node's own client cannot change its
// certificate, so this one drives the OpenSSL inside Node.
//
// Arguments: port, server name, then the files of certificate and key for each handshake (empty: none).
import { dlopen } from "node:ffi";
import process from "node:process";

const TLS_1_2 = 0x03_03n;
const PEM = 1;
const CTX_CTRL_SET_MAX_PROTO_VERSION = 124;
const CTRL_SET_TLSEXT_HOSTNAME = 55;

const NOTHING = 0n;

const { functions: openssl } = dlopen(null, {
  TLS_client_method: { arguments: [], return: "pointer" },
  SSL_CTX_new: { arguments: ["pointer"], return: "pointer" },
  SSL_CTX_ctrl: { arguments: ["pointer", "int32", "int64", "pointer"], return: "int64" },
  SSL_new: { arguments: ["pointer"], return: "pointer" },
  SSL_ctrl: { arguments: ["pointer", "int32", "int64", "string"], return: "int64" },
  SSL_use_certificate_file: { arguments: ["pointer", "string", "int32"], return: "int32" },
  SSL_use_PrivateKey_file: { arguments: ["pointer", "string", "int32"], return: "int32" },
  BIO_new_connect: { arguments: ["string"], return: "pointer" },
  SSL_set_bio: { arguments: ["pointer", "pointer", "pointer"], return: "void" },
  SSL_connect: { arguments: ["pointer"], return: "int32" },
  SSL_renegotiate: { arguments: ["pointer"], return: "int32" },
  SSL_do_handshake: { arguments: ["pointer"], return: "int32" },
  SSL_write: { arguments: ["pointer", "buffer", "int32"], return: "int32" },
  SSL_read: { arguments: ["pointer", "buffer", "int32"], return: "int32" },
});

const [port = "", name = "", ...files] = process.argv.slice(2);
const [cert = "", key = "", otherCert = "", otherKey = ""] = files;

const context = openssl.SSL_CTX_new(openssl.TLS_client_method());
openssl.SSL_CTX_ctrl(context, CTX_CTRL_SET_MAX_PROTO_VERSION, TLS_1_2, NOTHING);
const ssl = openssl.SSL_new(context);
openssl.SSL_ctrl(ssl, CTRL_SET_TLSEXT_HOSTNAME, 0n, name);
const bio = openssl.BIO_new_connect(`127.0.0.1:${port}`);
openssl.SSL_set_bio(ssl, bio, bio);

if (cert !== "") show(cert, key);
if (openssl.SSL_connect(ssl) !== 1) throw new Error("the first handshake failed");
if (!isAnswered()) throw new Error("the first request was not answered");
show(otherCert, otherKey);
openssl.SSL_renegotiate(ssl);
const isRenegotiated = openssl.SSL_do_handshake(ssl) === 1;
process.stdout.write(JSON.stringify({ isRenegotiated, isAnswered: isAnswered() }));

function show(certFile: string, keyFile: string): void {
  const isUsed =
    openssl.SSL_use_certificate_file(ssl, certFile, PEM) === 1 &&
    openssl.SSL_use_PrivateKey_file(ssl, keyFile, PEM) === 1;
  if (!isUsed) throw new Error(`${certFile} cannot be used`);
}

function isAnswered(): boolean {
  const request = Buffer.from("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  if (openssl.SSL_write(ssl, request, request.length) <= 0) return false;
  const answer = Buffer.alloc(4096);
  return openssl.SSL_read(ssl, answer, answer.length) > 0;
}
