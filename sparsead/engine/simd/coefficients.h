/* Written by tools/simd_coefficients.py: edit that. */
#ifndef SPARSEAD_SIMD_COEFFICIENTS_H
#define SPARSEAD_SIMD_COEFFICIENTS_H

#include "doubles.h"

/* log(2); the first times an exponent is exact */
#define LOG2_PARTS_0 0x1.62e42fee00000p-1
#define LOG2_PARTS_1 0x1.a39ef35793c76p-33

/* pi / 2; the first three times a quadrant below 2^20 are exact */
#define PI_2_PARTS_0 0x1.921fb54400000p+0
#define PI_2_PARTS_1 0x1.0b4611a600000p-34
#define PI_2_PARTS_2 0x1.3198a2e000000p-69
#define PI_2_PARTS_3 0x1.b839a252049c1p-104

/* pi / 2 in parts of full length */
#define PI_2_TRIPLE_0 0x1.921fb54442d18p+0
#define PI_2_TRIPLE_1 0x1.1a62633145c06p-54
#define PI_2_TRIPLE_2 0x1.c1cd129024e09p-107

/* pi / 2 as a double, and what that leaves */
#define PI_2_PAIR_0 0x1.921fb54442d18p+0
#define PI_2_PAIR_1 0x1.1a62633145c07p-54

/* 1 / log(2); the first times a number of 32 bits is exact */
#define INV_LOG2_PARTS_0 0x1.7154700000000p+0
#define INV_LOG2_PARTS_1 0x1.94ae0bf85ddf4p-22

/* 1 / log(10); likewise */
#define INV_LOG10_PARTS_0 0x1.bcb7b00000000p-2
#define INV_LOG10_PARTS_1 0x1.526e50e32a6abp-26

/* log10(2); the first times an exponent is exact */
#define LOG10_2_PARTS_0 0x1.3441350800000p-2
#define LOG10_2_PARTS_1 0x1.f79fef311f12bp-34

/* 1 / log(2) */
#define INV_LOG2 0x1.71547652b82fep+0

/* 2 / pi */
#define INV_PI_2 0x1.45f306dc9c883p-1

/* sqrt(1/2) */
#define SQRT_HALF 0x1.6a09e667f3bcdp-1

/* 2 / 3 as a double, and what that leaves */
#define TWO_THIRDS_0 0x1.5555555555555p-1
#define TWO_THIRDS_1 0x1.5555555555555p-55

/* arctan(1/2) as a double, and what that leaves */
#define ARCTAN_HALF_0 0x1.dac670561bb4fp-2
#define ARCTAN_HALF_1 0x1.a2b7f222f65e2p-56

/* arctan(1) */
#define ARCTAN_1_0 0x1.921fb54442d18p-1
#define ARCTAN_1_1 0x1.1a62633145c07p-55

/* arctan(3/2) */
#define ARCTAN_3_HALVES_0 0x1.f730bd281f69bp-1
#define ARCTAN_3_HALVES_1 0x1.007887af0cbbdp-56

/* (cosh r - 1) / z, z = r^2, |r| <= log(2) / 2; error of the result 2^-64.7 */
INLINE double cosh_tail(double z)
{
    double p = 0x1.1f953fd5821c5p-29;
    p = muladd(p, z, 0x1.27e4c5052f524p-22);
    p = muladd(p, z, 0x1.a01a01b17d84ap-16);
    p = muladd(p, z, 0x1.6c16c16c13f2cp-10);
    p = muladd(p, z, 0x1.555555555555cp-5);
    p = muladd(p, z, 0x1.0000000000000p-1);
    return p;
}

/* (sinh r / r - 1) / z; error of the result 2^-60.7 */
INLINE double sinh_tail(double z)
{
    double p = 0x1.af5eb1ac08c6ep-26;
    p = muladd(p, z, 0x1.71ddf85aafbbfp-19);
    p = muladd(p, z, 0x1.a01a01afe29a2p-13);
    p = muladd(p, z, 0x1.111111110f6b4p-7);
    p = muladd(p, z, 0x1.5555555555559p-3);
    return p;
}

/* (log((1 + s) / (1 - s)) / s - 2) / z, z = s^2, s = f / (2 + f); error of the result 2^-58.1 */
INLINE double log_tail(double z)
{
    double p = 0x1.2efeb0412a03fp-3;
    p = muladd(p, z, 0x1.39a2692d0b034p-3);
    p = muladd(p, z, 0x1.746637f8529fdp-3);
    p = muladd(p, z, 0x1.c71c522c1ba2bp-3);
    p = muladd(p, z, 0x1.24924941c5293p-2);
    p = muladd(p, z, 0x1.99999999800ebp-2);
    p = muladd(p, z, 0x1.5555555555592p-1);
    return p;
}

/* (log((1 + s) / (1 - s)) / s - 2 - 2/3 z) / z^2; error of the result 2^-65.5 */
INLINE double log_tail_long(double z)
{
    double p = 0x1.be7b14198b79bp-4;
    p = muladd(p, z, 0x1.ab913f56d6790p-4);
    p = muladd(p, z, 0x1.e201cd54a19e8p-4);
    p = muladd(p, z, 0x1.1110bc08715c2p-3);
    p = muladd(p, z, 0x1.3b13b25167becp-3);
    p = muladd(p, z, 0x1.745d1743ac297p-3);
    p = muladd(p, z, 0x1.c71c71c71ed65p-3);
    p = muladd(p, z, 0x1.2492492492488p-2);
    p = muladd(p, z, 0x1.999999999999ap-2);
    return p;
}

/* (sin r / r - 1) / z, |r| <= pi / 4; error of the result 2^-57.3 */
INLINE double sin_tail(double z)
{
    double p = 0x1.5d931cd8bbc04p-33;
    p = muladd(p, z, -0x1.ae5e6691c8932p-26);
    p = muladd(p, z, 0x1.71de357819827p-19);
    p = muladd(p, z, -0x1.a01a019c11fb5p-13);
    p = muladd(p, z, 0x1.111111110f87dp-7);
    p = muladd(p, z, -0x1.5555555555549p-3);
    return p;
}

/* (cos r - 1 + z / 2) / z^2; error of the result 2^-60.3 */
INLINE double cos_tail(double z)
{
    double p = -0x1.90058a43d732bp-37;
    p = muladd(p, z, 0x1.1eea967feba5ap-29);
    p = muladd(p, z, -0x1.27e4f908631b3p-22);
    p = muladd(p, z, 0x1.a01a019e15908p-16);
    p = muladd(p, z, -0x1.6c16c16c15fcap-10);
    p = muladd(p, z, 0x1.5555555555552p-5);
    return p;
}

/* (arctan t / t - 1) / z, |t| <= 7/16; error of the result 2^-57.1 */
INLINE double arctan_tail(double z)
{
    double p = -0x1.09f29aa3a9965p-6;
    p = muladd(p, z, 0x1.2ace303816a55p-5);
    p = muladd(p, z, -0x1.977f3f4f30bcbp-5);
    p = muladd(p, z, 0x1.ddd52cf49ee17p-5);
    p = muladd(p, z, -0x1.10d55528f3125p-4);
    p = muladd(p, z, 0x1.3b0f0edceb1f1p-4);
    p = muladd(p, z, -0x1.745cda81afef9p-4);
    p = muladd(p, z, 0x1.c71c6fcf6b12ep-4);
    p = muladd(p, z, -0x1.2492491fd0a46p-3);
    p = muladd(p, z, 0x1.999999998e189p-3);
    p = muladd(p, z, -0x1.5555555555508p-2);
    return p;
}

/* (arcsin t / t - 1) / z, |t| <= 1/2; error of the result 2^-59.2 */
INLINE double arcsin_tail(double z)
{
    double p = 0x1.0977f4fb7e497p-5;
    p = muladd(p, z, -0x1.52262c49aacb2p-6);
    p = muladd(p, z, 0x1.5f70d6ceb448bp-6);
    p = muladd(p, z, 0x1.f3d01f760b5aep-9);
    p = muladd(p, z, 0x1.604f6d9ea055fp-7);
    p = muladd(p, z, 0x1.75b041ba44759p-7);
    p = muladd(p, z, 0x1.ca1a48bccf62ep-7);
    p = muladd(p, z, 0x1.1c4a290f0f1abp-6);
    p = muladd(p, z, 0x1.6e8bdbb353fa7p-6);
    p = muladd(p, z, 0x1.f1c71ab1e691fp-6);
    p = muladd(p, z, 0x1.6db6db71c5331p-5);
    p = muladd(p, z, 0x1.333333332e7a0p-4);
    p = muladd(p, z, 0x1.5555555555574p-3);
    return p;
}

#endif
