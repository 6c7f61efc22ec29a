// What the curves are drawn over: steps, training time, or tokens.

import { locale, t } from "./text.js";

/** The axes: their words, how a place on them is told, and which measured values add up to it. */
export const AXES = {
  step: { words: "stepAxis", sum: null, tick: (value) => String(value), tell: (value) => t("step", value) },
  time: { words: "timeAxis", sum: "seconds", tick: clock, tell: clock },
  tokens: { words: "tokenAxis", sum: "tokens", tick: compact, tell: (value) => t("tokens", compact(value)) },
};

/** Turns the steps of a run into places on an axis; null where the run did not measure them. */
export function placesOn(axis, log) {
  if (AXES[axis].sum === null) return (steps) => steps;
  const { steps: known, values } = log.curve(AXES[axis].sum);
  if (known.length === 0) return null;
  let sum = 0;
  const sums = values.map((value) => (sum += Math.max(0, value)));
  return (steps) => {
    let at = 0;
    return steps.map((step) => {
      while (at + 1 < known.length && known[at + 1] <= step) at++;
      return known[at] <= step ? sums[at] : 0;
    });
  };
}

/** Seconds as hours, minutes and seconds. */
export function clock(seconds) {
  const whole = Math.round(seconds);
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60)];
  return `${hours}:${String(minutes).padStart(2, "0")}:${String(whole % 60).padStart(2, "0")}`;
}

function compact(value) {
  return value.toLocaleString(locale(), { notation: "compact", maximumSignificantDigits: 4 });
}
