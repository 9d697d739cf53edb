/* Fixed probability tables (SPEC 3.7) and the encoder's table of logarithms. */
#ifndef FL_TABLES_H
#define FL_TABLES_H

#include <stdint.h>

enum { FL_SIGNIFICANCE_TABLES = 32, FL_REFINEMENT_TABLES = 16, FL_SIGN_TABLES = 16 };

extern const uint16_t fl_significance_tables[FL_SIGNIFICANCE_TABLES][16];
extern const uint16_t fl_refinement_tables[FL_REFINEMENT_TABLES][16];
extern const uint16_t fl_sign_tables[FL_SIGN_TABLES][9];
extern const uint16_t fl_logistic[256];
extern const uint16_t fl_prior[3][57];
extern const uint16_t fl_cost_steps[256];
extern const uint8_t fl_rank[256][8];
#if defined(__wasm_simd128__)
extern const uint8_t fl_word_places[256][16];
#endif

#endif
