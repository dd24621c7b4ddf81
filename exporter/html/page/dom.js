// Making elements. Text from a profile only ever becomes text: nothing here
// parses HTML.

function element(tag, attributes = {}, ...children) {
  const e = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "text") e.textContent = value;
    else if (key === "class") e.className = value;
    else e.setAttribute(key, value);
  }
  e.append(...children);
  return e;
}

function byID(id) {
  return document.getElementById(id);
}

// setOptions fills a select; options are pairs of value and text.
function setOptions(select, options, chosen) {
  select.replaceChildren(...options.map(([value, text]) => element("option", { value, text })));
  select.value = chosen;
}
