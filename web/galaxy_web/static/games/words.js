/** Counted things of the reference game, in words. */

import { t } from "../texts.js";

/** @param {number} n */
export const planets = (n) => (n === 1 ? t("1 planet") : t("{n} planets", { n }));

/** @param {number} n */
export const ships = (n) => (n === 1 ? t("1 ship") : t("{n} ships", { n }));

/** @param {number | string} n */
export const turns = (n) => (n === 1 ? t("1 turn") : t("{n} turns", { n }));
