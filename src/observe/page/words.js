// Words, numbers and times, as people read them.

const digits = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });

const number = (n) => (n < 100 ? digits : whole).format(n);
const percent = (share) => `${Math.round(100 * share)} %`;
const words = (label) => label.replaceAll("_", " ");

function seconds(s) {
  if (s === null || s === undefined) return "–";
  if (s === 0) return "0";
  if (s < 0.001) return `${digits.format(s * 1e6)} µs`;
  if (s < 1) return `${digits.format(s * 1e3)} ms`;
  if (s < 60) return `${digits.format(s)} s`;
  const [minutes, hours] = [Math.floor(s / 60), Math.floor(s / 3600)];
  if (minutes < 60) return `${minutes} min`;
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} days`;
}

function bytes(n) {
  const power = n < 1024 ? 0 : Math.min(Math.floor(Math.log2(n) / 10), 4);
  return `${digits.format(n / 1024 ** power)} ${["B", "KiB", "MiB", "GiB", "TiB"][power]}`;
}

function moment(at) {
  const date = new Date(at * 1000);
  const isToday = date.toDateString() === new Date().toDateString();
  return isToday ? clock.format(date) : `${day.format(date)} ${clock.format(date)}`;
}

