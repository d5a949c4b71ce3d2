// The text in the address of the page: after the #, which no browser sends to anybody.

/** What an address holds: the name of a net of the gallery, or a text with its name and net; null for none. */
export async function read(fragment) {
  const given = new URLSearchParams(fragment.replace(/^#/, ""));
  if (!given.has("text")) {
    return given.has("net") ? { net: given.get("net") } : null;
  }
  const name = /^\w+$/.test(given.get("name")) ? given.get("name") : "mine";
  return { name, net: given.get("net") ?? "", text: await unpacked(given.get("text")) };
}

/** The fragment that holds a text, or names what the gallery has unchanged. */
export async function written({ name, net, text }) {
  const given = new URLSearchParams({ net });
  if (text !== undefined) {
    given.set("name", name);
    given.set("text", await packed(text));
  }
  return `#${given}`;
}

async function packed(text) {
  const bytes = await through(new TextEncoder().encode(text), new CompressionStream("deflate-raw"));
  const letters = Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
  return btoa(letters).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

async function unpacked(letters) {
  const plain = atob(letters.replaceAll("-", "+").replaceAll("_", "/"));
  const bytes = Uint8Array.from(plain, (letter) => letter.charCodeAt(0));
  return new TextDecoder("utf-8", { fatal: true }).decode(await through(bytes, new DecompressionStream("deflate-raw")));
}

async function through(bytes, stream) {
  const result = new Blob([bytes]).stream().pipeThrough(stream);
  return new Uint8Array(await new Response(result).arrayBuffer());
}
