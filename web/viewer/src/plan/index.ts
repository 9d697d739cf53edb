/**
 * What the rest of the viewer sees of the planner: pure rules, no network, no page.
 *
 * The index of a shard and the choice of layers are @firstlight/codecs'; the twins of this folder are
 * tiler/{geometry,layout,plan,session}.py.
 */
export * from "./geometry.ts";
export * from "./layout.ts";
export * from "./plan.ts";
export * from "./session.ts";
