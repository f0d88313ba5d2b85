// Elements and numbers for people. Texts go in as texts, never as markup.

export const at = (id) => document.getElementById(id);

export function make(tag, options = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined || value === null) continue;
    if (name === "class") element.className = value;
    else if (name === "text") element.textContent = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export function seconds(value) {
  if (value === null || value === undefined) return "–";
  if (value < 0.0995) return `${Math.max(0, value * 1000).toFixed(0)} ms`;
  if (value < 60) return `${value.toFixed(2)} s`;
  const minutes = Math.floor(value / 60);
  if (minutes < 60) return `${minutes} min ${Math.floor(value % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

// When something was, from the beginning of the call.
export function since(value) {
  const cents = Math.max(0, Math.round((value ?? 0) * 100));
  if (cents < 6000) return `${(cents / 100).toFixed(2)} s`;
  const rest = ((cents % 6000) / 100).toFixed(2).padStart(5, "0");
  const minutes = Math.floor(cents / 6000);
  return minutes < 60 ? `${minutes}:${rest}` : `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${rest}`;
}

export function bytes(value) {
  if (value === null || value === undefined) return "–";
  if (value < 1000) return `${value} B`;
  if (value < 1e6) return `${(value / 1e3).toFixed(value < 1e4 ? 1 : 0)} kB`;
  return `${(value / 1e6).toFixed(1)} MB`;
}

export function count(number, what) {
  return `${number} ${what}${number === 1 ? "" : "s"}`;
}

export function clock(started, after) {
  return new Date((started + after) * 1000).toLocaleTimeString([], { hour12: false });
}

export function json(value, most = 200000) {
  let text;
  try {
    text = JSON.stringify(value, null, 2) ?? "";
  } catch {
    text = "It is nested too deeply to be shown.";
  }
  return text.length > most ? `${text.slice(0, most)}\n… ${text.length - most} more characters` : text;
}

// Where somebody reads on with the keys.
export function moves(event, index, count, page) {
  const to = {
    ArrowDown: index + 1, ArrowUp: index - 1, PageDown: index + page, PageUp: index - page,
    Home: 0, End: count - 1,
  }[event.key];
  if (to === undefined || !count) return null;
  event.preventDefault();
  return Math.max(0, Math.min(count - 1, index < 0 ? 0 : to));
}
