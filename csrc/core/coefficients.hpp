// Tables of math.hpp, for float and double.
//
// Derived and measured by tools/coefficients.py (minimax by Remez' exchange, then rounded). The error beside a table is
// the relative error of the result due to the rounded table; half an ulp is 2^-25 to 2^-24 for float and 2^-54 to 2^-53
// for double.
#pragma once

#ifndef FNNFAST_ISA
#error "FNNFAST_ISA names the namespace of the instruction set"
#endif

namespace fnnfast::FNNFAST_ISA {

template <class T>
struct Coefficients;

template <>
struct Coefficients<float> {
  static constexpr float kLog2e = 1.442695f;
  static constexpr float kLn2High = 0.6931472f;
  static constexpr float kLn2Low = -1.9046542e-09f;
  static constexpr float kInverseSqrt2PiHigh = 0.3989423f;
  static constexpr float kInverseSqrt2PiLow = -1.133517e-08f;
  // degree 4, error 2^-27.8
  static constexpr float kExp[] = {
      0.49999994f, 0.1666652f, 0.041668396f, 0.008368782f, 0.0013814212f,
  };
  // degree 5, error 2^-28.7
  static constexpr float kExpm1[] = {
      0.5f, 0.16666666f, 0.04166636f, 0.00833339f, 0.0013940722f, 0.00019845547f,
  };
  // degree 2, error 2^-30.1
  static constexpr float kLog[] = {
      0.66666776f,
      0.3997753f,
      0.29872283f,
  };
  // degree 4, error 2^-30.8
  static constexpr float kLog1p[] = {
      0.66666675f, 0.3999889f, 0.28616595f, 0.21430771f, 0.24289447f,
  };
  static constexpr float kTanhEdge = 0.625f;
  // degrees 1 and 1, error 2^-27.2
  static constexpr float kTanhNumerator[] = {
      -0.33333308f,
      -0.0015415678f,
  };
  static constexpr float kTanhDenominator[] = {
      1.0f,
      0.40461227f,
  };
  static constexpr float kNormalShift = 2.5f;
  static constexpr float kNormalCentre = 0.21337890625f;
  static constexpr float kNormalGrowth = 2.9f;
  // degree 10, error 2^-26.9
  static constexpr float kNormalFar[] = {
      0.7362558f, 2.2560353f, 3.242466f,  -1.6919804f, -9.802508f,  7.9837074f,
      33.55864f,  -66.2757f,  -70.38061f, 340.4178f,   -226.66429f,
  };
};

template <>
struct Coefficients<double> {
  static constexpr double kLog2e = 1.4426950408889634;
  static constexpr double kLn2High = 0.6931471805599453;
  static constexpr double kLn2Low = 2.3190468138462996e-17;
  static constexpr double kInverseSqrt2PiHigh = 0.3989422804014327;
  static constexpr double kInverseSqrt2PiLow = -2.49232720227773e-17;
  // degree 10, error 2^-60.2
  static constexpr double kExp[] = {
      0.5,
      0.16666666666666682,
      0.04166666666666609,
      0.008333333333316912,
      0.0013888888889117973,
      0.0001984126989669256,
      2.4801586923281947e-05,
      2.7557234547160646e-06,
      2.755758390044292e-07,
      2.5112148562654676e-08,
      2.082619651776511e-09,
  };
  // degree 10, error 2^-59.8
  static constexpr double kExpm1[] = {
      0.5,
      0.16666666666666677,
      0.041666666666666505,
      0.008333333333321605,
      0.001388888888896341,
      0.00019841269886217974,
      2.4801587170768165e-05,
      2.7557244092822696e-06,
      2.7557403925844506e-07,
      2.5109085746495782e-08,
      2.0875001924815533e-09,
  };
  // degree 7, error 2^-61.5
  static constexpr double kLog[] = {
      0.6666666666666666,  0.4000000000000627,  0.2857142856907896, 0.22222222647916792,
      0.18181775570530886, 0.15387095115998045, 0.132500157422591,  0.13252293734024173,
  };
  // degree 10, error 2^-58.6
  static constexpr double kLog1p[] = {
      0.6666666666666667,  0.3999999999999406,  0.2857142857249708,  0.2222222212644186,
      0.18181823161069344, 0.15384453047160757, 0.13336786835626743, 0.1171615762749605,
      0.10971168795671518, 0.06999575737894222, 0.16458873403543486,
  };
  static constexpr double kTanhEdge = 0.625;
  // degrees 2 and 3, error 2^-56.7
  static constexpr double kTanhNumerator[] = {
      -0.33333333333333326,
      -0.02049678600249867,
      -0.00019908890515057286,
  };
  static constexpr double kTanhDenominator[] = {
      1.0,
      0.46149035800748095,
      0.023288648013941135,
      0.00020643827743071672,
  };
  static constexpr double kNormalEdge = 0.671875;
  // degree 9, error 2^-53.8
  static constexpr double kNormalNear[] = {
      0.3989422804014327,     -0.06649038006690544,    0.009973557010035508,  -0.0011873282154739634,
      0.00011543468754035502, -9.44465572394307e-06,   6.659669669440583e-07, -4.121993381351966e-08,
      2.2617726339394225e-09, -1.0139833624837314e-10,
  };
  static constexpr double kNormalShift = 3.0;
  static constexpr double kNormalCentre = 0.089599609375;
  static constexpr double kNormalGrowth = 4.4;
  // degree 22, error 2^-56.3
  static constexpr double kNormalFar[] = {
      0.5377500197949628, 1.976509191511685,   5.692553803850152,  11.122149795422006,  6.538555678846993,
      -37.96733403664828, -101.07288652824296, 110.90850127623132, 872.7587709504976,   -254.93468124960904,
      -8124.81457345553,  713.8666552574196,   87132.5568028723,   -31479.92465614534,  -1049720.4757164032,
      1179720.213548747,  13624875.186487868,  -38694715.89557148, -139221785.85658595, 1150475926.7265158,
      -3297485458.4552,   4724248441.21012,    -2837533338.871066,
  };
};

}  // namespace fnnfast::FNNFAST_ISA
