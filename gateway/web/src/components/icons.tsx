/** The few icons that the app uses, drawn on a 16 × 16 grid in the colour of the text beside them. */

const PATHS = {
  datasets:
    "M2.5 4.2C2.5 3 5 2 8 2s5.5 1 5.5 2.200S11 6.4 8 6.4 2.5 5.4 2.5 4.200Zm0 0v7.600C2.5 13 5 14 8 14s5.5-1 5.5-2.200V4.200M2.5 8c0 1.2 2.5 2.2 5.5 2.200s5.5-1 5.5-2.2",
  jobs: "M1.5 8.500h3l2-6 3.5 11 2-5h2.5",
  models: "M8 1.8 13.5 5v6L8 14.2 2.5 11V5L8 1.800Zm0 6.2 5.3-3M8 8v6M8 8 2.7 5",
  storage: "M2.5 9.500 4 3h8l1.5 6.500M2.5 9.500h11v4h-11v-4ZM11 11.500h.2",
  docs: "M3 2.500h7l3 3v8H3v-11Zm6.5 0V6H13M5.5 9h5M5.5 11.200h5",
  sun: "M8 5a3 3 0 1 1 0 6 3 3 0 0 1 0-6ZM8 1v1.500M8 13.500V15M1 8h1.500M13.5 8H15M3 3l1.1 1.100M11.9 11.9 13 13M13 3l-1.1 1.100M4.1 11.9 3 13",
  moon: "M13.5 9.700A5.8 5.8 0 0 1 6.3 2.500a5.8 5.8 0 1 0 7.2 7.200Z",
  upload: "M8 11V2.500M4.5 6 8 2.5 11.5 6M2.5 11v2.500h11V11",
  download: "M8 2.500V11M4.5 7.5 8 11l3.5-3.500M2.5 11v2.500h11V11",
  exit: "M6.5 2.500h-4v11h4M10 4.5 13.5 8 10 11.500M13.5 8h-8",
  plus: "M8 3v10M3 8h10",
  left: "M10 3 5 8l5 5",
  right: "m6 3 5 5-5 5",
  check: "m3 8.5 3.5 3.500L13 4.5",
  alert: "M8 2 14.5 13.500h-13L8 2Zm0 4.500v3M8 11.500v.2",
  copy: "M5.5 5.500h8v8h-8v-8Zm-2.5 5h-.500v-8h8V3",
  search: "M7 2.500a4.5 4.5 0 1 1 0 9 4.5 4.5 0 0 1 0-9Zm3.3 7.8 3.2 3.2",
} as const;

export type IconName = keyof typeof PATHS;

/** Decoration: what it stands for is said by the text or the label beside it. */
export function Icon({ name, size = 16 }: { name: IconName; size?: number }) {
  return (
    <svg
      width={size}
      height={size}
      viewBox="0 0 16 16"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.4"
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden="true"
    >
      <path d={PATHS[name]} />
    </svg>
  );
}
