"use strict";
// Reads the page again where its <main> says how often, and puts the new <main> in its place.

const main = () => document.querySelector("main");

/** Whether somebody reads, writes or copies something that would be gone. */
function inUse() {
  const open = main().querySelector("details[open]");
  const at = document.activeElement;
  return document.hidden || open || (at && main().contains(at)) || String(getSelection());
}

function readAgain() {
  if (inUse()) {
    later();
    return;
  }
  const request = new XMLHttpRequest();
  request.open("GET", location.href);
  request.responseType = "document"; // parsed without running anything
  request.onload = () => {
    const fresh = request.status === 200 && request.response && request.response.querySelector("main");
    if (fresh) main().replaceWith(document.adoptNode(fresh));
    document.body.classList.toggle("over", !fresh);
    later();
  };
  request.onerror = () => {
    document.body.classList.add("over");
    later();
  };
  request.send();
}

function later() {
  const seconds = Number(main().dataset.refresh);
  if (seconds) setTimeout(readAgain, seconds * 1000);
}

later();
