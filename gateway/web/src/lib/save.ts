/** Hands bytes to the browser as a download. */
export function saveAs(blob: Blob, filename: string): void {
  const address = URL.createObjectURL(blob);
  const link = Object.assign(document.createElement("a"), { href: address, download: filename });
  link.click();
  // The browser reads the address after this function has ended.
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

/** Follows a signed link of the object store, which answers with a file. */
export function openDownload(url: string): void {
  Object.assign(document.createElement("a"), { href: url, download: "" }).click();
}
