// Shows what the server's stream tells, and posts what a person does. All text is set as text, never as HTML.
"use strict";

const SIDES = {stackflow: "StackFlow", pagerduty: "PagerDuty"};
const TITLES = {stackflow: "Checkout is down", pagerduty: "Replica lags behind"};
const INPUT_LABELS = {title: "Title", priority: "Priority", group: "Assignment group", urgency: "Urgency",
                      service: "Service", text: "Note"};
const find = (selector, within = document) => within.querySelector(selector);
let catalog;
let latest;

function copyOf(template) {
  return find("#" + template).content.cloneNode(true);
}

function element(tag, values = {}, ...inner) {
  const made = Object.assign(document.createElement(tag), values);
  made.append(...inner);
  return made;
}

function say(node, words) {
  if (node.textContent !== words) {
    node.textContent = words;
  }
}

/** Make a list's children follow the items; the old ones stay where they are, and so does the focus. */
function follow(list, items, keyOf, make, fill) {
  const known = new Map([...list.children].map((child) => [child.dataset.key, child]));
  const keys = new Set(items.map((item, index) => keyOf(item, index)));
  for (const [key, child] of known) {
    if (!keys.has(key)) {
      child.remove();
    }
  }
  items.forEach((item, index) => {
    const key = keyOf(item, index);
    let child = known.get(key);
    if (!child) {
      child = make(item);
      child.dataset.key = key;
    }
    if (list.children[index] !== child) {
      list.insertBefore(child, list.children[index] || null);
    }
    fill(child, item);
  });
}

const byIndex = (item, index) => String(index);

// What people do.

async function act(side, name, inputs = {}) {
  let words = "";
  try {
    const answer = await fetch("/act", {
      method: "POST", headers: {"Content-Type": "application/json"},
      body: JSON.stringify({...inputs, side, act: name})});
    if (!answer.ok) {
      words = (await answer.json()).error;
    }
  } catch (error) {
    words = "The playground cannot be reached.";
  }
  complain(words);
  return !words;
}

function complain(words) {
  const place = find("#trouble");
  place.hidden = !words;
  say(place, words);
}

/** A button for an act; what it needs beside the incident and the person is asked for in a form. */
function control(side, name, incident) {
  const {label, inputs} = catalog[side][name];
  const given = () => {
    const own = {};
    if ("id" in inputs) {
      own.id = incident;
    }
    if ("by" in inputs) {
      own.by = find(`#${side} select[name=by]`).value;
    }
    return own;
  };
  const asked = Object.keys(inputs).filter((input) => input !== "id" && input !== "by");
  if (!asked.length) {
    const button = element("button", {type: "button", textContent: label});
    button.addEventListener("click", () => act(side, name, given()));
    return button;
  }
  const form = element("form", {className: "ask"});
  form.append(...asked.map((input) => field(input, inputs[input])), element("button", {textContent: label}));
  answering(form, side, name, given);
  return form;
}

function answering(form, side, name, given) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (await act(side, name, {...Object.fromEntries(new FormData(form)), ...given()})) {
      form.querySelectorAll("input[name=text]").forEach((input) => { input.value = ""; });
    }
  });
}

function field(name, choices) {
  const given = choices.length ?
    element("select", {name}, ...choices.map(([value, words]) => new Option(words, value))) :
    element("input", {name, required: true, maxLength: 2000, autocomplete: "off"});
  return element("label", {className: name}, element("span", {textContent: INPUT_LABELS[name]}), given);
}

// What is shown.

function buildSide(side) {
  const section = find("#" + side);
  section.append(copyOf("side"));
  say(find("h2", section), SIDES[side]);
  const acts = catalog[side];
  find("[name=by]", section).append(...acts.open.inputs.by.map(([value, words]) => new Option(words, value)));
  find(".switches", section).setAttribute("aria-label", "Trouble of " + SIDES[side]);
  for (const name of Object.keys(acts).filter((one) => !Object.keys(acts[one].inputs).length)) {
    const button = control(side, name);
    button.dataset.act = name;
    find(".switches", section).append(button);
  }
  const form = find("form.open", section);
  find("button", form).textContent = acts.open.label;
  form.prepend(...Object.keys(acts.open.inputs).filter((input) => input !== "by").map(
    (input) => field(input, acts.open.inputs[input])));
  form.elements.title.value = TITLES[side];
  answering(form, side, "open", () => ({by: find("[name=by]", section).value}));
}

function showSide(side, now) {
  const section = find("#" + side);
  section.dataset.state = now.state;
  const chip = find(".bar .chip", section);
  chip.dataset.tone = now.state;
  say(chip, now.state);
  for (const button of find(".switches", section).children) {
    offer(button, catalog[side][button.dataset.act].states.includes(now.state), section);
  }
  say(find("[data-act=lose]", section), counted(catalog[side].lose.label, now.to_lose));
  say(find("[data-act=double]", section), counted(catalog[side].double.label, now.to_double));
  find("form.open button", section).disabled = now.state === "off";
  follow(find(".cards", section), now.incidents, (card) => card.id, (card) => makeCard(side, card),
         (node, card) => showCard(side, node, card, now.state));
  find(".empty", section).hidden = now.incidents.length > 0;
}

const counted = (label, count) => count ? `${label} ×${count}` : label;

/** Show or hide what can be done; the focus must not fall out of the page. */
function offer(node, possible, home) {
  const focused = node.contains(document.activeElement);
  node.hidden = !possible;
  if (!possible && focused) {
    home.focus();
  }
}

function makeCard(side, card) {
  const node = find("li", copyOf("card"));
  node.id = `${side}-${card.id}`;
  node.setAttribute("aria-label", `${SIDES[side]} ${card.name}`);
  for (const [name, {inputs}] of Object.entries(catalog[side]).filter(([, one]) => "id" in one.inputs)) {
    const made = control(side, name, card.id);
    made.dataset.act = name;
    const button = find("button", made) || made;
    button.setAttribute("aria-label", `${button.textContent} ${card.name}`);
    const direct = Object.keys(inputs).every((input) => input === "id" || input === "by");
    find(direct ? ".acts" : ".more", node).append(made);
  }
  for (const [event, on] of [["pointerenter", true], ["pointerleave", false], ["focusin", true], ["focusout", false]]) {
    node.addEventListener(event, () => pairOf(side, card.id, on));
  }
  return node;
}

/** Light up the other one of a pair. */
function pairOf(side, id, on) {
  const pair = latest[side].incidents.find((card) => card.id === id)?.pair;
  const other = side === "stackflow" ? "pagerduty" : "stackflow";
  document.getElementById(`${other}-${pair}`)?.classList.toggle("lit", on);
}

function showCard(side, node, card, sideState) {
  say(find(".name", node), card.name);
  say(find("h3", node), card.title);
  say(find(".rank", node), card.rank);
  find(".rank", node).dataset.tone = card.rank;
  say(find(".state", node), card.state.replace("_", " "));
  find(".state", node).dataset.tone = card.state;
  node.dataset.state = card.state;
  const other = side === "stackflow" ? "pagerduty" : "stackflow";
  const link = find(".pair", node);
  link.hidden = !card.pair;
  link.href = `#${other}-${card.pair}`;
  say(link, `↔ ${other === "pagerduty" ? "#" : ""}${card.pair} in ${SIDES[other]}`);
  follow(find("dl", node), Object.entries(card.facts), ([label]) => label,
         ([label]) => element("div", {}, element("dt", {textContent: label}), element("dd")),
         (row, [, words]) => say(find("dd", row), words || "–"));
  follow(find(".notes", node), card.notes, byIndex, () => element("li", {}, element("b"), element("span")),
         (row, [author, text]) => { say(find("b", row), author); say(find("span", row), text); });
  for (const made of node.querySelectorAll("[data-act]")) {
    const possible = sideState === "on" && catalog[side][made.dataset.act].states.includes(card.state);
    offer(made, possible, node);
  }
  find(".more", node).hidden = !find(".more > form:not([hidden])", node);
}

function showEntry(node, entry) {
  node.dataset.side = entry.side;
  node.classList.toggle("person", entry.person);
  say(find(".who", node), entry.who);
  say(find(".what", node), entry.what);
  say(find("time", node), new Date(entry.at).toLocaleTimeString([], {hourCycle: "h23"}));
  follow(find(".steps", node), entry.steps, byIndex,
         () => element("li", {}, element("b"), element("span")),
         (row, [label, words, tone]) => {
           row.dataset.tone = tone;
           say(find("b", row), label);
           say(find("span", row), words);
         });
}

function show(now) {
  latest = now;
  for (const side of Object.keys(SIDES)) {
    showSide(side, now[side]);
  }
  follow(find("#stream"), now.stream, (entry) => entry.key, () => find("li", copyOf("entry")), showEntry);
  find("#between .empty").hidden = now.stream.length > 0;
}

async function start() {
  catalog = await (await fetch("/catalog")).json();
  for (const side of Object.keys(SIDES)) {
    buildSide(side);
  }
  find("#pack").append(...Object.keys(catalog.pack).map((name) => control("pack", name)));
  const stream = new EventSource("/stream");
  stream.onmessage = (event) => { show(JSON.parse(event.data)); };
  stream.onopen = () => complain("");
  stream.onerror = () => complain("The playground has ended, or cannot be reached.");
}

start();
