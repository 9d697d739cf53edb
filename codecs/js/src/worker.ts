/** The script of a pool's worker, in a page or in Node. */
import { parentPort } from "./platform.ts";
import { serve } from "./service.ts";

serve(parentPort());
