/** The German dictionary: English texts and what they are in German. */
/** @type {Record<string, string>} */
export default {};
