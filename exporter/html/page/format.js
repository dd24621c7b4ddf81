// Numbers for people.

const byteUnits = ["B", "KiB", "MiB", "GiB", "TiB"];

// formatValue writes a value of a type, such as 1.31 s.
function formatValue(value, unit) {
  switch (unit) {
    case "nanoseconds":
      return formatDuration(value);
    case "microseconds":
      return formatDuration(value * 1e3);
    case "milliseconds":
      return formatDuration(value * 1e6);
    case "seconds":
      return formatDuration(value * 1e9);
    case "bytes":
      return formatBytes(value);
    case "count":
      return formatCount(value);
  }
  return formatCount(value) + (unit ? " " + unit : "");
}

function formatDuration(ns) {
  const abs = Math.abs(ns);
  if (abs < 1e3) return digits(ns) + " ns";
  if (abs < 1e6) return digits(ns / 1e3) + " µs";
  if (abs < 1e9) return digits(ns / 1e6) + " ms";
  if (abs < 600e9) return digits(ns / 1e9) + " s";
  if (abs < 36000e9) return digits(ns / 60e9) + " min";
  return digits(ns / 3600e9) + " h";
}

function formatBytes(bytes) {
  let unit = 0;
  while (Math.abs(bytes) >= 1024 && unit < byteUnits.length - 1) {
    bytes /= 1024;
    unit++;
  }
  return (unit === 0 ? formatCount(bytes) : digits(bytes)) + " " + byteUnits[unit];
}

// formatCount separates thousands: 12,345.
function formatCount(n) {
  return (Math.round(n * 100) / 100).toLocaleString("en-US");
}

// digits keeps three digits that say something.
function digits(n) {
  const abs = Math.abs(n);
  return n.toFixed(abs === 0 || abs >= 100 ? 0 : abs >= 10 ? 1 : 2);
}

// formatShare writes a part of a whole in percent.
function formatShare(part, whole) {
  const share = whole === 0 ? 0 : (100 * part) / whole;
  if (share > 0 && share < 0.01) return "<0.01%";
  return share.toFixed(share === 0 || share >= 99.995 ? 0 : 2) + "%";
}

// formatPoints writes a change of a share, from 0 to 1, in percentage points.
function formatPoints(change) {
  const points = 100 * change;
  if (points === 0) return "0 pt";
  const text = Math.abs(points).toFixed(Math.abs(points) < 0.1 ? 2 : 1);
  return (points < 0 ? "−" : "+") + text + " pt";
}

// shortName leaves out what says least about a function where there is no room:
// namespaces, folders of packages, arguments, parameters of types.
function shortName(name) {
  const open = name.search(/[(<[ ]/);
  const head = open > 0 ? name.slice(0, open) : name;
  if (head.endsWith(".")) return name.slice(head.lastIndexOf("/") + 1); // Go: net/http.(*conn).serve
  const colons = head.lastIndexOf("::");
  return head.slice(Math.max(colons < 0 ? 0 : colons + 2, head.lastIndexOf("/") + 1)) || name;
}

function baseName(path) {
  return path.slice(path.lastIndexOf("/") + 1);
}
