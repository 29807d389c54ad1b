/** Hands bytes to the browser as a download. */
export function saveAs(blob: Blob, filename: string): void {
  const address = URL.createObjectURL(blob);
  const link = Object.assign(document.createElement("a"), { href: address, download: filename });
  link.click();
  // The browser reads the address after this function has ended.
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}
